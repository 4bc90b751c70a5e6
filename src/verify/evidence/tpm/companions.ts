import { AttestError } from '../../errors.ts'
import type { Collateral } from '../collateral.ts'
import type { Companion, CompanionKind } from '../companions.ts'
import { type PcrBank, parsePcrs } from './pcrs.ts'
import { parsePublic, type TpmPublic } from './public.ts'
import { parseSignature, type TpmSignature } from './signature.ts'

/** What lies beside a quote, read. */
export interface TpmCompanions {
  readonly signatures: readonly TpmSignature[]
  readonly publics: readonly TpmPublic[]
  readonly banks: readonly PcrBank[]
  /** DER SubjectPublicKeyInfo. */
  readonly keys: readonly Uint8Array[]
}

/** Of each kind. A quote needs one signature and one key; every pair would cost a signature check. */
const MAX_COMPANIONS = 8

/** @throws AttestError as the parsers do; `LIMIT_EXCEEDED`. */
export function readCompanions(collateral: Collateral): TpmCompanions {
  return {
    signatures: companionsOf(collateral, 'tpm-signature').map((c) => parseSignature(c.bytes)),
    publics: companionsOf(collateral, 'tpm-public').map((c) => parsePublic(c.bytes)),
    banks: companionsOf(collateral, 'tpm-pcrs').map((c) => parsePcrs(c.bytes)),
    keys: companionsOf(collateral, 'public-key').map((c) => c.bytes),
  }
}

export function companionsOf({ companions }: Collateral, kind: CompanionKind): readonly Companion[] {
  const found = companions.filter((c) => c.kind === kind)
  if (found.length > MAX_COMPANIONS) throw new AttestError('LIMIT_EXCEEDED', `more than ${MAX_COMPANIONS} pieces of the kind ${kind}`)
  return found
}
