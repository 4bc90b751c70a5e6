#!/usr/bin/env node
// The only code that runs before anything is known to be built.
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`sealgate: needs Node 20.19 or newer, this is ${process.version}\n`)
  process.exit(1)
}
const built = new URL('../dist/cli/main.js', import.meta.url)
const { main } = await import(built.href).catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND' || !error.message.includes('dist/cli/main.js')) throw error
  process.stderr.write('sealgate: not built yet\nfix: run npm ci (or npm run build) in the repository\n')
  process.exit(1)
})
process.exitCode = await main(process.argv.slice(2))
