// Builds everything that `node bin/sealgate.js` needs: wire messages, then TypeScript into dist/.
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const require = createRequire(import.meta.url)
const node = (...args) => execFileSync(process.execPath, args, { cwd: root, stdio: 'inherit' })

const generated = join(root, 'src/rpc/gen/services.ts')
const sources = readdirSync(join(root, 'proto'), { recursive: true, withFileTypes: true }).filter((e) => e.isFile())
const newest = Math.max(
  ...sources.map((e) => statSync(join(e.parentPath, e.name)).mtimeMs),
  statSync(join(root, 'scripts/build-proto.mjs')).mtimeMs,
)
if (!existsSync(generated) || statSync(generated).mtimeMs < newest) node(join(root, 'scripts/build-proto.mjs'))

node(join(dirname(require.resolve('typescript/package.json')), 'bin/tsc'), '-p', 'tsconfig.json')
mkdirSync(join(root, 'dist/rpc/gen'), { recursive: true })
for (const file of ['messages.js', 'messages.d.ts']) cpSync(join(root, 'src/rpc/gen', file), join(root, 'dist/rpc/gen', file))
