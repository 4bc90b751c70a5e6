import type { Format } from '../types.ts'
import { verifyCpuToken } from './cpu.ts'
import { ITA } from './ita.ts'
import { MAA } from './maa.ts'
import { verifyNras } from './nras.ts'
import type { TokenInput, TokenResult } from './types.ts'

type TokenFormat = Extract<Format, 'nras-eat' | 'ita-jwt' | 'maa-jwt'>

const VERIFIERS: Readonly<Record<TokenFormat, (input: TokenInput) => Promise<TokenResult>>> = {
  'nras-eat': verifyNras,
  'ita-jwt': (input) => verifyCpuToken(ITA, input),
  'maa-jwt': (input) => verifyCpuToken(MAA, input),
}

/**
 * Checks a token that a vendor's service signed after it had verified evidence: docs/formats/attestation-tokens.md. It proves
 * what the service said; the evidence itself is not here to be looked at.
 * @throws AttestError for bytes that are no such token.
 */
export function verifyToken(format: TokenFormat, input: TokenInput): Promise<TokenResult> {
  return VERIFIERS[format](input)
}
