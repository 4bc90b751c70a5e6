import { createVerifyCache, type VerifyCache } from '../../src/verify/evidence/cache.ts'
import { type Collateral, loadCollateral } from '../../src/verify/evidence/collateral.ts'
import { conclude } from '../../src/verify/evidence/conclude.ts'
import { type DcapRoot, dcapRoots } from '../../src/verify/evidence/dcap/roots.ts'
import { type SgxInput, type SgxResult, verifySgxQuote } from '../../src/verify/evidence/sgx/verify.ts'
import { type TdxInput, type TdxResult, verifyTdxQuote } from '../../src/verify/evidence/tdx/verify.ts'
import type { Group, Verdict } from '../../src/verify/verdict.ts'

export function loadItems(items: readonly Uint8Array[], cache: VerifyCache = createVerifyCache()): Promise<Collateral> {
  return loadCollateral(
    items.map((bytes, i) => ({ name: `collateral[${i}]`, bytes })),
    cache,
  )
}

interface Asked {
  readonly quote: Uint8Array
  readonly collateral: readonly Uint8Array[]
  readonly at: Date
}

/** Verifies a TDX quote with the strict default, unless told otherwise. */
export async function verifyTd(asked: Asked, more: Partial<TdxInput> = {}): Promise<TdxResult> {
  return verifyTdxQuote({ ...(await common(asked, more.cache)), eventLogs: [], ...more, quote: asked.quote })
}

/** Verifies an SGX quote with the strict default, unless told otherwise. */
export async function verifySgx(asked: Asked, more: Partial<SgxInput> = {}): Promise<SgxResult> {
  return verifySgxQuote({ ...(await common(asked, more.cache)), ...more, quote: asked.quote })
}

async function common(
  { collateral, at }: Asked,
  cache: VerifyCache = createVerifyCache(),
): Promise<Omit<SgxInput & TdxInput, 'quote' | 'eventLogs'>> {
  return {
    collateral: await loadItems(collateral, cache),
    roots: intelRoots,
    at: at.getTime(),
    nonce: null,
    measurement: null,
    early: null,
    requirements: {},
    cache,
  }
}

export const intelRoots: readonly DcapRoot[] = dcapRoots([])

export function decide<R extends TdxResult | SgxResult>(result: R, allow: readonly Group[] = []): Verdict<R['parsed'], R['claims']> {
  const { parsed, claims, checks, notChecked } = result
  return conclude<R['parsed'], R['claims']>({ format: 'quote', parsed, claims, checks, notChecked }, allow)
}

/** `rule=outcome` of everything that did not pass. */
export function troubles({ checks }: { readonly checks: TdxResult['checks'] }): readonly string[] {
  return checks.filter((c) => c.outcome !== 'pass').map((c) => `${c.rule}=${c.outcome}`)
}
