// Writes docs/errors.md from the one table of error codes. Run after a build: node scripts/error-docs.mjs
import { writeFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const GROUPS = {
  3: 'Malformed input',
  4: 'Not authentic',
  6: 'Collateral missing or stale',
  5: 'Not allowed, or refused',
  2: 'Usage',
  1: 'Environment and internal',
}

/** @param {Record<string, {exit: number, fix: string}>} codes */
export function errorDocs(codes) {
  const rows = (exit) => Object.entries(codes).filter(([, entry]) => entry.exit === exit)
  const section = ([exit, title]) => [
    `## ${title} (exit ${exit})`,
    '',
    '| code | what to do |',
    '|---|---|',
    ...rows(Number(exit)).map(([code, { fix }]) => `| \`${code}\` | ${fix} |`),
    '',
  ]
  const order = [3, 4, 6, 5, 2, 1].map((exit) => [exit, GROUPS[exit]])
  return [
    '# Errors',
    '',
    'Generated from `src/verify/errors.ts`. A code is a public contract: adding one is a minor change, renaming one a major change.',
    'On the wire a code travels as `google.rpc.ErrorInfo` (reason = code, domain = `sealgate`). Exit 0 means accepted or done.',
    'When several things are wrong at once the exit code is 3 before 4 before 6 before 5.',
    '',
    ...order.flatMap(section),
  ]
    .join('\n')
    .trimEnd()
    .concat('\n')
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { ERROR_CODES } = await import('../dist/verify/errors.js')
  writeFileSync(new URL('../docs/errors.md', import.meta.url), errorDocs(ERROR_CODES))
}
