import { crypto } from '#crypto'
import { equal, toHex, utf8 } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import type { Check } from '../../verdict.ts'
import { check, unknown } from '../check.ts'
import { describeContent, type EventContent, eventTypeName, findMeasured, type Measured } from '../tdx/event-log/content.ts'
import { EV_NO_ACTION, looksLikeTcgLog, parseSha1Log, parseTcgLog, type TcgEvent } from '../tdx/event-log/tcg-log.ts'
import { SHA1, type TpmHash } from './algorithms.ts'
import type { PcrSelection } from './attest.ts'
import type { PcrBank } from './pcrs.ts'

/** An event that went into a PCR whose value the quote confirms. */
export interface PcrEvent extends Measured {
  readonly pcr: number
  readonly type: string
  /** Hexadecimal, of the bank. */
  readonly digest: string
  readonly content: EventContent
}

/** What event logs say and whether the PCRs agree. */
export interface PcrLogFindings {
  readonly checks: readonly Check[]
  /** Quoted PCRs that hold something and that no log accounts for. */
  readonly notChecked: readonly string[]
  readonly events: readonly PcrEvent[]
  /** Number of events in the logs, and the values that they lead to, hexadecimal, by PCR. */
  readonly count: number
  readonly replayed: Readonly<Record<string, string>>
}

/** PCRs of the PC Client Platform Firmware Profile 1.06 (sections 2.3.4 and 3.3.4). */
const MAX_PCR = 23
const LAST_FIRMWARE_PCR = 7
/** PCR 17 to 22 start at all ones, until a dynamic launch. */
const DYNAMIC_PCRS = [17, 22] as const
/** EV_NO_ACTION on PCR 0: the locality of TPM2_Startup, with which PCR 0 then starts (section 10.4.5.3). */
const STARTUP_LOCALITY = utf8('StartupLocality\0')

/**
 * Replays event logs of the firmware and compares them with quoted PCRs. A log accounts for PCR 0 to 7, which belong to the
 * firmware. PCRs above belong to software that runs later, whose events it need not have; they are compared where they agree.
 * @param selection - The bank that is compared.
 * @throws AttestError for a log that cannot be read, or has no digests of that bank.
 */
export async function replayPcrLogs(
  logs: readonly Uint8Array[],
  selection: PcrSelection,
  banks: readonly PcrBank[],
): Promise<PcrLogFindings> {
  const { hash, indices } = selection
  const events = logs.flatMap((log) => readLog(log, hash))
  const values = await replay(events, hash)
  const bank = banks.find((b) => b.hash === hash)
  if (bank === undefined) {
    const missing = unknown('binding.event-log', `PCR values of the bank ${hash.name}`, 'none given')
    return { checks: [missing], notChecked: [], events: [], count: events.length, replayed: describeValues(values) }
  }
  const extended = new Set(events.filter(isExtended).map((e) => e.index))
  const compared = indices.map((index) => {
    const [want, got] = [bank.values.get(index) ?? new Uint8Array(0), values[index] ?? new Uint8Array(0)]
    const agrees = equal(want, got)
    const isCompared = index <= LAST_FIRMWARE_PCR || (agrees && extended.has(index))
    return { index, isCompared, isEmpty: agrees, check: check(`binding.pcr${index}`, agrees, toHex(want), toHex(got)) }
  })
  const shown = new Set(compared.filter((c) => c.isCompared).map((c) => c.index))
  return {
    checks: compared.filter((c) => c.isCompared).map((c) => c.check),
    notChecked: compared.filter((c) => !c.isCompared && !c.isEmpty).map((c) => `pcr${c.index}`),
    events: await Promise.all(events.filter((e) => isExtended(e) && shown.has(e.index)).map((e) => describe(e, hash))),
    count: events.length,
    replayed: describeValues(values),
  }
}

/** A log of the older form has digests of the bank of SHA-1 alone. */
function readLog(log: Uint8Array, hash: TpmHash): readonly TcgEvent[] {
  const { id, name, size } = hash
  if (looksLikeTcgLog(log)) return parseTcgLog(log, { name, algorithm: id, digestSize: size, maxIndex: MAX_PCR })
  if (hash === SHA1) return parseSha1Log(log, MAX_PCR)
  throw new AttestError('EVIDENCE_UNRECOGNIZED', 'not a crypto-agile event log', { at: 'event-log' })
}

function isExtended({ type }: TcgEvent): boolean {
  return type !== EV_NO_ACTION
}

/** PCR = H(PCR ‖ digest) (TPM 2.0 Library part 1, section 17.5). */
async function replay(events: readonly TcgEvent[], { digest, size }: TpmHash): Promise<readonly Uint8Array[]> {
  const values = Array.from({ length: MAX_PCR + 1 }, (_, i) => startOf(i, size, events))
  for (const event of events.filter(isExtended)) {
    const { index } = event
    values[index] = new Uint8Array(await crypto.digestParts(digest, [values[index] ?? new Uint8Array(size), event.digest]))
  }
  return values
}

function startOf(index: number, size: number, events: readonly TcgEvent[]): Uint8Array {
  const start = new Uint8Array(size)
  if (index >= DYNAMIC_PCRS[0] && index <= DYNAMIC_PCRS[1]) start.fill(0xff)
  if (index === 0) start[size - 1] = localityOf(events)
  return start
}

function localityOf(events: readonly TcgEvent[]): number {
  const note = events.find(
    ({ index, type, data }) => index === 0 && type === EV_NO_ACTION && data.length === 17 && equal(data.subarray(0, 16), STARTUP_LOCALITY),
  )
  return note?.data[16] ?? 0
}

async function describe({ index, type, digest, data }: TcgEvent, hash: TpmHash): Promise<PcrEvent> {
  const measured = await findMeasured(type, data, digest, hash.digest)
  return { pcr: index, type: eventTypeName(type), digest: toHex(digest), content: describeContent(type, data), ...measured }
}

function describeValues(values: readonly Uint8Array[]): Readonly<Record<string, string>> {
  return Object.fromEntries(values.map((value, i) => [`${i}`, toHex(value)]))
}
