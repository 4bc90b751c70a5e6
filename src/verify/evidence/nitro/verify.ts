import { verifySign1 } from '../../formats/cose.ts'
import type { Check } from '../../verdict.ts'
import type { VerifyCache } from '../cache.ts'
import { check, instant, type Now } from '../check.ts'
import { earliestFirst, type Forecast } from '../forecast.ts'
import { importFitting } from '../signed-by.ts'
import { checkSpan } from '../windows.ts'
import { appraiseDocument, type NitroRequirements } from './appraise.ts'
import { type NitroChain, type NitroRoot, readChain } from './chain.ts'
import { claimsOf, describeDocument, type NitroClaims, type NitroParsed } from './claims.ts'
import { type NitroDocument, parseNitroDocument } from './parse.ts'

/** Everything that {@link verifyNitro} needs. The document brings its certificates; nothing is fetched, no clock is read. */
export interface NitroInput {
  /** COSE_Sign1, at most 32 KiB. */
  readonly document: Uint8Array
  readonly roots: readonly NitroRoot[]
  readonly now: Now
  /** Wanted as `nonce`, byte for byte. */
  readonly nonce: Uint8Array | null
  /** Wanted as PCR0. */
  readonly measurement: Uint8Array | null
  readonly requirements: NitroRequirements
  readonly cache: VerifyCache
}

/** Every rule with its outcome. `claims` are not trusted until the checks are accepted. */
export interface NitroResult {
  readonly parsed: NitroParsed
  readonly claims: NitroClaims
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
  readonly forecast: () => Forecast
}

/**
 * Checks an attestation document of an AWS Nitro enclave in the order of docs/formats/nitro.md: form, chain, validity,
 * signature, debugging, then what is wanted of it. AWS publishes no revocation for these certificates; leaves live for hours.
 * @throws AttestError for bytes that are no document.
 * @see AWS nitro-enclaves-nsm-api, docs/attestation_process.md, section 3.
 */
export async function verifyNitro(input: NitroInput): Promise<NitroResult> {
  const { now, cache, requirements } = input
  const document = parseNitroDocument(input.document)
  const chain = await readChain(document, input.roots, cache)
  const parsed = describeDocument(document, chain)
  const checks = [
    check('format.document', true, 'attestation document: COSE_Sign1 with ES384', `${document.pcrs.size} PCRs`),
    ...chain.checks,
    ...windowChecks(document, chain, now),
    await signatureCheck(document, chain, cache),
    ...appraiseDocument(document, now, input),
  ]
  const notChecked = ['revocation', ...(requirements.maxAgeSeconds === undefined ? ['timestamp'] : [])]
  const claims = claimsOf(document, parsed, chain.root?.simulated !== false)
  return { parsed, claims, checks, notChecked, forecast: () => forecastOf(chain) }
}

function windowChecks({ timestamp }: NitroDocument, { authorities, leaf }: NitroChain, now: Now): readonly Check[] {
  const notBefore = Math.max(...authorities.map((c) => c.notBefore))
  const notAfter = Math.min(...authorities.map((c) => c.notAfter))
  const window = `${instant(leaf.notBefore)} to ${instant(leaf.notAfter)}`
  const inside = timestamp >= leaf.notBefore && timestamp <= leaf.notAfter
  return [
    checkSpan('validity.authorities', notBefore, notAfter, now),
    checkSpan('validity.leaf', leaf.notBefore, leaf.notAfter, now),
    check('validity.timestamp', inside, `made while its certificate was valid: ${window}`, instant(timestamp)),
  ]
}

async function signatureCheck({ message }: NitroDocument, { leaf }: NitroChain, cache: VerifyCache): Promise<Check> {
  const key = await importFitting(cache, message.scheme, leaf)
  const holds = key !== null && (await verifySign1(message, key))
  return check('signature.document', holds, 'ES384 over the Sig_structure', holds ? 'verifies' : 'does not verify')
}

function forecastOf({ authorities, leaf }: NitroChain): Forecast {
  const [root, ...issuers] = authorities
  const dated = [
    { what: 'leaf', name: leaf.subject.text, at: leaf.notAfter } as const,
    ...issuers.map((c) => ({ what: 'issuer', name: c.subject.text, at: c.notAfter }) as const),
    ...(root === undefined ? [] : [{ what: 'root', name: root.subject.text, at: root.notAfter } as const]),
  ]
  return { expiries: earliestFirst(dated), early: null }
}
