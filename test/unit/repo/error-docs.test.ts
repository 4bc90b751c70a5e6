import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { errorDocs } from '../../../scripts/error-docs.mjs'
import { ERROR_CODES } from '../../../src/verify/errors.ts'

it('docs/errors.md is what the table of codes says (node scripts/error-docs.mjs)', () => {
  expect(readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8')).toBe(errorDocs(ERROR_CODES))
})
