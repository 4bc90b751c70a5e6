import { equal, toHex } from '../../bytes/bytes.ts'
import type { Check } from '../../verdict.ts'
import { check, oneOf, unknown } from '../check.ts'
import { SHA1, type TpmHash } from './algorithms.ts'
import type { PcrSelection, TpmQuote } from './attest.ts'
import type { TpmCompanions } from './companions.ts'
import { type PcrLogFindings, replayPcrLogs } from './event-log.ts'
import { digestPcrs, type PcrBank } from './pcrs.ts'
import type { TpmSignature } from './signature.ts'

/** Rules that a caller may add. */
export interface TpmRequirements {
  /** Banks that a quote may be over. Not given: any; one of SHA-1 then stands in `notChecked`. */
  readonly banks?: readonly TpmHash['name'][]
  /** Reference values by PCR. Their size names the bank; each must be among the quoted PCRs. */
  readonly pcrs?: Readonly<Record<number, Uint8Array>>
  /** The boot that is meant: reset and restart counts of an earlier quote by the same key. */
  readonly boot?: { readonly resetCount: number; readonly restartCount: number }
  /** The clock never ran without the TPM saving it (TPMS_CLOCK_INFO.safe). */
  readonly safeClock?: true
}

/** What is wanted of a quote, whoever signed it. */
export interface Wanted {
  /** `extraData`, exactly. */
  readonly nonce: Uint8Array | null
  readonly requirements: TpmRequirements
  /** Event logs of the firmware. */
  readonly eventLogs: readonly Uint8Array[]
}

/** What a quote says of its PCRs, and what was compared. */
export interface QuoteAppraisal {
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
  readonly eventLog: PcrLogFindings | null
  /** PCR values that the quote's digest confirms; nothing else may be compared or claimed. */
  readonly banks: readonly PcrBank[]
}

/**
 * Checks what a quote says, as against who signed it: nonce, banks, digest over the PCR values, event logs, reference values.
 * @param signature - Its hash is that of the PCR digest; null when none was given.
 */
export async function appraiseQuote(
  quote: TpmQuote,
  signature: TpmSignature | null,
  { banks: given }: TpmCompanions,
  wanted: Wanted,
): Promise<QuoteAppraisal> {
  const { requirements, eventLogs, nonce } = wanted
  const checks: Check[] = [
    checkExtraData(quote),
    ...(nonce === null ? [] : [checkNonce(nonce, quote)]),
    ...checkSelections(quote, requirements),
  ]
  const needsValues = requirements.pcrs !== undefined || eventLogs.length > 0
  const digest = given.length > 0 || needsValues ? await checkDigest(quote, signature, given) : null
  if (digest !== null) checks.push(digest)
  // CVE-2022-0317 again: where some of the values are missing the digest is unknown, which a caller may allow, and the others are anybody's.
  const banks = digest?.outcome === 'pass' ? given : []
  for (const [index, value] of Object.entries(requirements.pcrs ?? {})) checks.push(checkPcr(Number(index), value, quote, banks))
  checks.push(...checkClock(quote, requirements))
  const selection = strongestOf(quote)
  const eventLog = eventLogs.length === 0 || selection === undefined ? null : await replayPcrLogs(eventLogs, selection, banks)
  if (eventLog !== null) checks.push(...eventLog.checks)
  const weak = requirements.banks === undefined && chosen(quote).some((s) => s.hash === SHA1)
  const notChecked = [
    ...(weak ? ['pcr-bank: sha1, of which somebody who chooses what is measured can find collisions'] : []),
    ...(digest === null ? ['pcr-values'] : []),
    ...(eventLog?.notChecked ?? ['event-log']),
  ]
  return { checks, notChecked, eventLog, banks }
}

/** A quote without data of the caller's could have been made at any time. */
function checkExtraData({ extraData }: TpmQuote): Check {
  return check('freshness.extra-data', extraData.length > 0, 'data that somebody asked for', toHex(extraData) || 'none')
}

function checkNonce(nonce: Uint8Array, { extraData }: TpmQuote): Check {
  return check('freshness.nonce', nonce.length > 0 && equal(nonce, extraData), toHex(nonce), toHex(extraData))
}

function chosen({ selections }: TpmQuote): readonly PcrSelection[] {
  return selections.filter((s) => s.indices.length > 0)
}

/** The first bank of SHA-256 or better; where there is none, the one of SHA-1. */
function strongestOf(quote: TpmQuote): PcrSelection | undefined {
  const all = chosen(quote)
  return all.find((s) => s.hash !== SHA1) ?? all[0]
}

/** CVE-2022-0317: a digest over no PCR at all is right for any machine. */
function checkSelections(quote: TpmQuote, { banks }: TpmRequirements): readonly Check[] {
  const { selections } = quote
  const text = selections.map((s) => `${s.hash.name}: ${s.indices.join(' ') || 'none'}`).join('; ') || 'none'
  const count = chosen(quote).length
  const names = selections.map((s) => s.hash.name)
  const wanted = banks === undefined ? [] : [bankCheck(banks, names)]
  return [check('policy.pcr-selection', count > 0 && count === selections.length, 'at least one PCR of every bank', text), ...wanted]
}

function bankCheck(banks: readonly TpmHash['name'][], names: readonly TpmHash['name'][]): Check {
  const fits = names.length > 0 && names.every((name) => banks.includes(name))
  return check('policy.pcr-bank', fits, oneOf(banks), names.join(', ') || 'none')
}

async function checkDigest(quote: TpmQuote, signature: TpmSignature | null, banks: readonly PcrBank[]): Promise<Check> {
  const rule = 'binding.pcr-digest'
  const want = toHex(quote.pcrDigest)
  if (signature === null) return unknown(rule, want, 'no signature says with which hash')
  const digest = await digestPcrs(signature.hash, quote.selections, banks)
  if (digest === null) return unknown(rule, want, 'not every selected PCR value is given')
  return check(rule, equal(digest, quote.pcrDigest), want, toHex(digest))
}

function checkPcr(index: number, want: Uint8Array, quote: TpmQuote, banks: readonly PcrBank[]): Check {
  const selection = chosen(quote).find((s) => s.hash.size === want.length && s.indices.includes(index))
  const got = banks.find((b) => b.hash === selection?.hash)?.values.get(index)
  const text = selection === undefined ? 'not quoted in that bank' : got === undefined ? 'value not given' : toHex(got)
  return check(`reference-values.pcr${index}`, got !== undefined && equal(got, want), toHex(want), text)
}

function checkClock({ safe, resetCount, restartCount }: TpmQuote, { boot, safeClock }: TpmRequirements): readonly Check[] {
  const checks: Check[] = []
  if (boot !== undefined) {
    const text = (reset: number, restart: number): string => `resetCount ${reset}, restartCount ${restart}`
    const same = boot.resetCount === resetCount && boot.restartCount === restartCount
    checks.push(check('policy.boot', same, text(boot.resetCount, boot.restartCount), text(resetCount, restartCount)))
  }
  if (safeClock) checks.push(check('policy.safe-clock', safe, 'safe YES', safe ? 'safe YES' : 'safe NO'))
  return checks
}
