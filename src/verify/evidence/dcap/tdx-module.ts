import { equal, isZero, toHex } from '../../bytes/bytes.ts'
import type { Check } from '../../verdict.ts'
import { check, unknown } from '../check.ts'
import type { TcbInfo } from './tcb-info.ts'
import { findModule } from './tcb-status.ts'

/** What a TD report says of the TDX module that made it. */
export interface SeamReport {
  readonly teeTcbSvn: Uint8Array
  readonly teeTcbSvn2: Uint8Array | null
  readonly mrSignerSeam: Uint8Array
  readonly seamAttributes: Uint8Array
}

/** QVL QuoteVerifier.cpp (4.1.2.5.12). Attributes must be zero and equal, so their mask has nothing to add. */
export function checkModule({ teeTcbSvn, mrSignerSeam, seamAttributes }: SeamReport, info: TcbInfo | null): Check {
  const rule = 'chain.tdx-module'
  const want = 'TDX module as the TCB info says: MRSIGNERSEAM, SEAMATTRIBUTES zero'
  if (info === null) return unknown(rule, want, 'no TCB info that is authentic')
  const version = teeTcbSvn[1] ?? 0
  const module = version === 0 ? info.tdxModule : findModule(info, version)
  if (module === null) return check(rule, false, want, `no identity for version ${version}`)
  const isSame = equal(mrSignerSeam, module.mrSigner) && equal(seamAttributes, module.attributes) && isZero(seamAttributes)
  return check(rule, isSame, want, isSame ? 'equal' : `MRSIGNERSEAM ${toHex(mrSignerSeam)}, SEAMATTRIBUTES ${toHex(seamAttributes)}`)
}
