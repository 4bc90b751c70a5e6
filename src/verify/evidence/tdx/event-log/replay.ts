import { crypto } from '#crypto'
import { equal, fromUtf8, toHex } from '../../../bytes/bytes.ts'
import { AttestError } from '../../../errors.ts'
import type { Check } from '../../../verdict.ts'
import { check } from '../../check.ts'
import type { TdReport } from '../td-report.ts'
import { describeContent, type EventContent, eventTypeName, findMeasured, type Measured } from './content.ts'
import { looksLikeRuntimeLog, parseRuntimeLog, type RuntimeEvent } from './runtime-log.ts'
import { looksLikeTcgLog, MAX_EVENT_LOG_SIZE, parseTcgLog } from './tcg-log.ts'

export type RegisterName = 'rtmr0' | 'rtmr1' | 'rtmr2' | 'rtmr3'
const REGISTERS: readonly RegisterName[] = ['rtmr0', 'rtmr1', 'rtmr2', 'rtmr3']

/** An event that went into a register whose value the quote confirms: that is true of its digest. */
export interface MeasuredEvent extends Measured {
  readonly register: RegisterName
  /** As the log says; no digest covers it, save that of a runtime event. */
  readonly type: string
  /** SHA-384, hexadecimal. */
  readonly digest: string
  /** Stands beside the digest in the log. {@link Measured} says how much of it that proves. */
  readonly content: EventContent
}

type Described = Pick<MeasuredEvent, 'content' | keyof Measured>

/** One event of any log. Notes (EV_NO_ACTION) are logged and not extended. */
interface LoggedEvent {
  readonly register: number
  readonly type: number
  readonly digest: Uint8Array
  readonly describe: () => Promise<Described>
}

/** What event logs say and whether the registers agree. */
export interface EventLogFindings {
  readonly checks: readonly Check[]
  /** Registers that no log accounts for. */
  readonly notChecked: readonly RegisterName[]
  /** Events of the registers that were compared, in the order in which they were replayed. */
  readonly events: readonly MeasuredEvent[]
  /** Number of events in the logs, and the values that they lead to, hexadecimal. */
  readonly count: number
  readonly replayed: Readonly<Record<RegisterName, string>>
}

const EV_NO_ACTION = 3
const REGISTER_SIZE = 48
const MAX_LOGS = 8

/**
 * Replays event logs and compares them with the registers of a TD report. A CCEL accounts for RTMR0 to RTMR2; RTMR3 belongs
 * to software that runs later and leaves no trace there, so it is held against a CCEL only where that happens to agree. A
 * runtime log accounts for the registers that it names.
 * @param logs - CCEL bytes, or dstack's JSON; told apart by content, extended in this order.
 * @throws AttestError for a log that cannot be read.
 */
export async function replayEventLogs(logs: readonly Uint8Array[], report: TdReport): Promise<EventLogFindings> {
  if (logs.length > MAX_LOGS) throw new AttestError('LIMIT_EXCEEDED', `more than ${MAX_LOGS} event logs`, { at: 'event-log' })
  const events: LoggedEvent[] = []
  const accounted = new Set<number>()
  let count = 0
  for (const log of logs) {
    const read = await readLog(log)
    events.push(...read.events.filter((e) => e.register >= 0 && e.type !== EV_NO_ACTION))
    for (const register of read.registers) accounted.add(register)
    count += read.events.length
  }
  const values = await replay(events)
  const compared = REGISTERS.map((name, i) => {
    const [want, got] = [report.field(name), values[i] ?? new Uint8Array(0)]
    const agrees = equal(want, got)
    const isCompared = accounted.has(i) || (agrees && events.some((e) => e.register === i))
    return { name, isCompared, check: check(`binding.${name}`, agrees, toHex(want), toHex(got)) }
  })
  const shown = events.filter((e) => compared[e.register]?.isCompared === true)
  return {
    checks: compared.filter((r) => r.isCompared).map((r) => r.check),
    notChecked: compared.filter((r) => !r.isCompared).map((r) => r.name),
    events: await Promise.all(shown.map(describe)),
    count,
    replayed: Object.fromEntries(REGISTERS.map((name, i) => [name, toHex(values[i] ?? new Uint8Array(0))])) as Record<RegisterName, string>,
  }
}

async function readLog(log: Uint8Array): Promise<{ events: readonly LoggedEvent[]; registers: readonly number[] }> {
  if (log.length > MAX_EVENT_LOG_SIZE)
    throw new AttestError('EVIDENCE_TRAILING', `larger than ${MAX_EVENT_LOG_SIZE} bytes`, { at: 'event-log' })
  if (looksLikeTcgLog(log)) return { events: readTcgEvents(log), registers: [0, 1, 2] }
  const text = textOf(log)
  if (text === null || !looksLikeRuntimeLog(text))
    throw new AttestError('EVIDENCE_UNRECOGNIZED', 'neither a CCEL nor a runtime log', { at: 'event-log' })
  const events = await parseRuntimeLog(text)
  const logged = events.map((event) => ({
    register: event.register,
    type: event.type,
    digest: event.digest,
    describe: async (): Promise<Described> =>
      event.isRuntime ? describeRuntime(event) : describeData(event.type, event.payload, event.digest),
  }))
  return { events: logged, registers: events.map((e) => e.register) }
}

/** Register 0 of a CCEL is MRTD, which no event is extended into: register -1 here. */
function readTcgEvents(log: Uint8Array): readonly LoggedEvent[] {
  return parseTcgLog(log).map(({ index, type, digest, data }) => ({
    register: index - 1,
    type,
    digest,
    describe: () => describeData(type, data, digest),
  }))
}

async function describeData(type: number, data: Uint8Array, digest: Uint8Array): Promise<Described> {
  return { content: describeContent(type, data), ...(await findMeasured(type, data, digest)) }
}

function describeRuntime({ name, payload, isUnambiguous }: RuntimeEvent): Described {
  const content = { kind: 'runtime', name, payload: toHex(payload) } as const
  return { content, contentIsMeasured: isUnambiguous, valueIsMeasured: isUnambiguous }
}

/** RTMR = SHA-384(RTMR ‖ digest), from zero. */
async function replay(events: readonly LoggedEvent[]): Promise<readonly Uint8Array[]> {
  const values = REGISTERS.map(() => new Uint8Array(REGISTER_SIZE))
  for (const { register, digest } of events) {
    values[register] = new Uint8Array(await crypto.digestParts('SHA-384', [values[register] ?? new Uint8Array(0), digest]))
  }
  return values
}

async function describe({ register, type, digest, describe: content }: LoggedEvent): Promise<MeasuredEvent> {
  return { register: REGISTERS[register] ?? 'rtmr0', type: eventTypeName(type), digest: toHex(digest), ...(await content()) }
}

function textOf(bytes: Uint8Array): string | null {
  try {
    return fromUtf8(bytes)
  } catch {
    return null
  }
}
