import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { tdReport } from '../../../../../../src/sim/index.ts'
import { u16, u32 } from '../../../../../../src/sim/little-endian.ts'
import { concat, fromHex, toHex, utf8 } from '../../../../../../src/verify/bytes/bytes.ts'
import { type EventLogFindings, replayEventLogs } from '../../../../../../src/verify/evidence/tdx/event-log/replay.ts'
import { TdReport } from '../../../../../../src/verify/evidence/tdx/td-report.ts'
import { testBytes } from '../../../../../support/keys.ts'
import { outcomeOf } from '../../../../../support/outcome.ts'

const sha384 = (...parts: readonly Uint8Array[]): Uint8Array =>
  new Uint8Array(
    createHash('sha384')
      .update(concat(...parts))
      .digest(),
  )

interface Logged {
  readonly index: number
  readonly type: number
  readonly data: Uint8Array
  readonly digest?: Uint8Array
}

const digestOf = (e: Logged): Uint8Array => e.digest ?? sha384(e.data)

function ccel(events: readonly Logged[], filler: Uint8Array = new Uint8Array(64).fill(0xff)): Uint8Array {
  const spec = concat(utf8('Spec ID Event03\0'), u32(0), Uint8Array.of(0, 2, 0, 2), u32(1), u16(12), u16(48), Uint8Array.of(0))
  const header = concat(u32(1), u32(3), new Uint8Array(20), u32(spec.length), spec)
  const body = events.map((e) => concat(u32(e.index), u32(e.type), u32(1), u16(12), digestOf(e), u32(e.data.length), e.data))
  return concat(header, ...body, filler)
}

/** The registers that these events lead to. */
function registers(events: readonly Logged[]): readonly Uint8Array[] {
  return [1, 2, 3, 4].map((index) =>
    events
      .filter((e) => e.index === index && e.type !== 3)
      .map(digestOf)
      .reduce((value, digest) => sha384(value, digest), new Uint8Array(48)),
  )
}

const reportOf = (rtmrs: readonly Uint8Array[]): TdReport => new TdReport(tdReport({ rtmrs }, false))
const troublesOf = ({ checks }: EventLogFindings): readonly string[] => checks.filter((c) => c.outcome !== 'pass').map((c) => c.rule)

const variable = (name: string, value: Uint8Array): Uint8Array => {
  const wide = Uint8Array.from({ length: 2 * name.length }, (_, i) => name.charCodeAt(i >> 1) >> (8 * (i & 1)))
  const guid = fromHex('61dfe48bca93d211aa0d00e098032b8c')
  return concat(guid, u32(name.length), u32(0), u32(value.length), u32(0), wide, value)
}

const EVENTS: readonly Logged[] = [
  { index: 1, type: 0x80000001, data: variable('SecureBoot', Uint8Array.of(1)) },
  { index: 1, type: 0x80000002, data: variable('BootOrder', Uint8Array.of(3, 0)), digest: sha384(Uint8Array.of(3, 0)) },
  { index: 1, type: 4, data: new Uint8Array(4) },
  { index: 2, type: 0x80000007, data: utf8('Exit Boot Services Invocation') },
  { index: 2, type: 0x80000003, data: testBytes('device path', 70), digest: testBytes('image', 48) },
  { index: 3, type: 0x0d, data: utf8('grub_cmd: linux /vmlinuz quiet\0'), digest: sha384(utf8('linux /vmlinuz quiet')) },
  { index: 3, type: 0x0d, data: utf8('/vmlinuz\0'), digest: testBytes('kernel', 48) },
  { index: 3, type: 6, data: concat(u32(0x8f3b22ed), u32(7), utf8('initrd\0')), digest: testBytes('initrd', 48) },
]

/** The header declares its one algorithm a second time. */
function twice(log: Uint8Array): Uint8Array {
  const out = concat(log.subarray(0, 64), u16(12), u16(48), log.subarray(64))
  out.set(u32(33 + 4), 28)
  out.set(u32(2), 56)
  return out
}

describe('a CCEL', () => {
  it('is replayed to the registers of the quote', async () => {
    const found = await replayEventLogs([ccel(EVENTS)], reportOf(registers(EVENTS)))
    expect(found.checks.map((c) => [c.rule, c.outcome])).toEqual([0, 1, 2].map((i) => [`binding.rtmr${i}`, 'pass']))
    expect(found.notChecked).toEqual(['rtmr3'])
    expect(found.count).toBe(EVENTS.length)
  })

  it('shows events in words, and tells what the digest proves from what is only written beside it', async () => {
    const { events } = await replayEventLogs([ccel(EVENTS)], reportOf(registers(EVENTS)))
    const how = ({ contentIsMeasured, valueIsMeasured }: (typeof events)[number]): string =>
      contentIsMeasured ? 'all' : valueIsMeasured ? 'value' : 'nothing'
    expect(events.map((e) => [e.register, e.type, e.content, how(e)])).toEqual([
      [
        'rtmr0',
        'EV_EFI_VARIABLE_DRIVER_CONFIG',
        { kind: 'variable', guid: '8be4df61-93ca-11d2-aa0d-00e098032b8c', name: 'SecureBoot', value: '01' },
        'all',
      ],
      [
        'rtmr0',
        'EV_EFI_VARIABLE_BOOT',
        { kind: 'variable', guid: '8be4df61-93ca-11d2-aa0d-00e098032b8c', name: 'BootOrder', value: '0300' },
        'value',
      ],
      ['rtmr0', 'EV_SEPARATOR', { kind: 'opaque', sizeBytes: 4 }, 'all'],
      ['rtmr1', 'EV_EFI_ACTION', { kind: 'text', text: 'Exit Boot Services Invocation' }, 'all'],
      ['rtmr1', 'EV_EFI_BOOT_SERVICES_APPLICATION', { kind: 'opaque', sizeBytes: 70 }, 'nothing'],
      ['rtmr2', 'EV_IPL', { kind: 'text', text: 'grub_cmd: linux /vmlinuz quiet' }, 'value'],
      ['rtmr2', 'EV_IPL', { kind: 'text', text: '/vmlinuz' }, 'nothing'],
      ['rtmr2', 'EV_EVENT_TAG', { kind: 'tagged', id: 0x8f3b22ed, text: 'initrd' }, 'nothing'],
    ])
  })

  it.each([
    ['a GRUB command that is shown as the kernel command line', 5, { data: utf8('kernel_cmdline: linux /vmlinuz quiet\0') }],
    ['the value of one variable that is shown under the name of another', 1, { data: variable('SecureBoot', Uint8Array.of(3, 0)) }],
  ] as const)('does not vouch for %s', async (_, at, change) => {
    const relabelled = EVENTS.map((e, i) => (i === at ? { ...e, ...change } : e))
    const found = await replayEventLogs([ccel(relabelled)], reportOf(registers(EVENTS)))
    expect(troublesOf(found)).toEqual([])
    expect(found.events[at]).toMatchObject({ contentIsMeasured: false, valueIsMeasured: true })
  })

  it('shows the name of a variable as it was measured, or not at all', async () => {
    const events = ['\ufeffSecureBoot', 'SecureBoot\ud800'].map((name) => ({
      index: 1,
      type: 0x80000001,
      data: variable(name, Uint8Array.of(1)),
    }))
    const found = await replayEventLogs([ccel(events)], reportOf(registers(events)))
    expect(found.events.map((e) => e.content)).toEqual([
      expect.objectContaining({ name: '\ufeffSecureBoot' }),
      { kind: 'opaque', sizeBytes: 32 + 22 + 1 },
    ])
  })

  it.each([1, 2, 3])('is rejected when register %i differs', async (index) => {
    const rtmrs = registers(EVENTS).map((r, i) => (i === index - 1 ? testBytes('else', 48) : r))
    expect(troublesOf(await replayEventLogs([ccel(EVENTS)], reportOf(rtmrs)))).toEqual([`binding.rtmr${index - 1}`])
  })

  it.each([
    ['an event is left out', EVENTS.slice(0, -1)],
    ['events change places', EVENTS.toReversed()],
    ['an event is added', [...EVENTS, { index: 3, type: 0x0d, data: utf8('x') }]],
    ['a digest changes', EVENTS.map((e, i) => (i === 6 ? { ...e, digest: testBytes('else', 48) } : e))],
    ['an event moves to another register', EVENTS.map((e, i) => (i === 0 ? { ...e, index: 2 } : e))],
  ] as const)('is rejected when %s', async (_, events) => {
    expect(troublesOf(await replayEventLogs([ccel(events)], reportOf(registers(EVENTS)))).length).toBeGreaterThan(0)
  })

  it('extends no notes, and counts MRTD’s events without replaying them', async () => {
    const more = [{ index: 2, type: 3, data: utf8('StartupLocality') }, { index: 0, type: 1, data: utf8('td') }, ...EVENTS]
    const found = await replayEventLogs([ccel(more)], reportOf(registers(EVENTS)))
    expect(troublesOf(found)).toEqual([])
    expect(found.count).toBe(EVENTS.length + 2)
    expect(found.events).toHaveLength(EVENTS.length)
  })

  it('is held against RTMR3 only where it happens to agree: later software leaves no trace in it', async () => {
    const events = [...EVENTS, { index: 4, type: 0x0d, data: utf8('early') }]
    const agreeing = await replayEventLogs([ccel(events)], reportOf(registers(events)))
    expect(agreeing.checks.map((c) => c.rule)).toContain('binding.rtmr3')
    const extended = registers(events).map((r, i) => (i === 3 ? sha384(r, testBytes('late', 48)) : r))
    const later = await replayEventLogs([ccel(events)], reportOf(extended))
    expect(troublesOf(later)).toEqual([])
    expect(later.notChecked).toEqual(['rtmr3'])
    expect(later.events.some((e) => e.register === 'rtmr3')).toBe(false)
  })

  it('may be filled up with FF or 00, or not at all', async () => {
    for (const filler of [new Uint8Array(0), new Uint8Array(1000), new Uint8Array(1000).fill(0xff)]) {
      expect(troublesOf(await replayEventLogs([ccel(EVENTS, filler)], reportOf(registers(EVENTS))))).toEqual([])
    }
  })

  const bad = (bytes: Uint8Array): Promise<string> => outcomeOf(() => replayEventLogs([bytes], reportOf(registers(EVENTS))))

  it('is refused with something after its end', async () => {
    const filler = new Uint8Array(100).fill(0xff)
    filler[90] = 0
    expect(await bad(ccel(EVENTS, filler))).toBe('EVIDENCE_TRAILING')
  })

  it.each([
    ['a register that does not exist', ccel([{ index: 5, type: 4, data: new Uint8Array(4) }]), 'EVIDENCE_UNSUPPORTED'],
    ['another header', ccel(EVENTS).map((b, i) => (i === 4 ? 4 : b)), 'EVIDENCE_UNSUPPORTED'],
    ['another signature', ccel(EVENTS).map((b, i) => (i === 40 ? 0 : b)), 'EVIDENCE_UNRECOGNIZED'],
    ['an algorithm that is declared twice', twice(ccel(EVENTS)), 'EVIDENCE_UNSUPPORTED'],
    ['another digest algorithm', ccel(EVENTS).map((b, i) => (i === 60 ? 11 : b)), 'EVIDENCE_UNSUPPORTED'],
  ] as const)('is refused with %s', async (_, bytes, code) => {
    expect(await bad(bytes)).toBe(code)
  })

  it('is refused or replayed to something else at every truncation', async () => {
    const log = ccel(EVENTS, new Uint8Array(0))
    for (let n = 48; n < log.length; n++) {
      const outcome = await outcomeOf(async () => {
        const found = await replayEventLogs([log.subarray(0, n)], reportOf(registers(EVENTS)))
        expect(troublesOf(found).length).toBeGreaterThan(0)
      })
      expect(['accepted', 'EVIDENCE_TRUNCATED']).toContain(outcome)
    }
  })

  it('fails only with an AttestError, whatever the bytes', async () => {
    const report = reportOf([])
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 400 }),
        async (tail) => void (await outcomeOf(() => replayEventLogs([concat(ccel([], new Uint8Array(0)), tail)], report))),
      ),
    )
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (bytes) => void (await outcomeOf(() => replayEventLogs([bytes], report)))),
    )
  })
})

describe('a runtime log', () => {
  const TYPE = 0x08000001
  const v1 = (name: string, payload: string): Uint8Array => sha384(u32(TYPE), utf8(':'), utf8(name), utf8(':'), fromHex(payload))
  const v2 = (name: string, payload: string): Uint8Array => sha384(utf8(`{"name":"${name}","payload":"${payload}","type":${TYPE}}`))
  const extend = (...digests: readonly Uint8Array[]): Uint8Array => digests.reduce((value, d) => sha384(value, d), new Uint8Array(48))
  const entry = (name: string, payload: string, more: object = {}): object => ({
    imr: 3,
    event_type: TYPE,
    digest: toHex(v1(name, payload)),
    event: name,
    event_payload: payload,
    ...more,
  })
  const log = (...entries: readonly object[]): Uint8Array => utf8(JSON.stringify(entries))
  const rtmr3 = extend(v1('app-id', 'aabb'), v1('compose-hash', '0011'))
  const zero = new Uint8Array(48)
  const report = reportOf([zero, zero, zero, rtmr3])

  it('accounts for RTMR3, names and payloads included', async () => {
    const found = await replayEventLogs([log(entry('app-id', 'aabb'), entry('compose-hash', '0011'))], report)
    expect(found.checks.map((c) => [c.rule, c.outcome])).toEqual([['binding.rtmr3', 'pass']])
    expect(found.notChecked).toEqual(['rtmr0', 'rtmr1', 'rtmr2'])
    expect(found.events.map((e) => [e.content, e.contentIsMeasured])).toEqual([
      [{ kind: 'runtime', name: 'app-id', payload: 'aabb' }, true],
      [{ kind: 'runtime', name: 'compose-hash', payload: '0011' }, true],
    ])
  })

  it('works out digests itself: the log need not have them, and cannot lie about them', async () => {
    expect(
      troublesOf(
        await replayEventLogs([log(entry('app-id', 'aabb', { digest: '' }), entry('compose-hash', '0011', { digest: undefined }))], report),
      ),
    ).toEqual([])
    const lie = entry('compose-hash', 'ffff', { digest: toHex(v1('compose-hash', '0011')) })
    expect(await outcomeOf(() => replayEventLogs([log(entry('app-id', 'aabb'), lie)], report))).toBe('DOCUMENT_INVALID')
    const bare = entry('compose-hash', 'ffff', { digest: '' })
    expect(troublesOf(await replayEventLogs([log(entry('app-id', 'aabb'), bare)], report))).toEqual(['binding.rtmr3'])
  })

  it('knows version 2 of events', async () => {
    const value = extend(v2('app-id', 'aabb'))
    const second = entry('app-id', 'aabb', { version: 2, digest: toHex(v2('app-id', 'aabb')) })
    expect(troublesOf(await replayEventLogs([log(second)], reportOf([zero, zero, zero, value])))).toEqual([])
    expect(await outcomeOf(() => replayEventLogs([log(entry('app-id', 'aabb', { version: 3 }))], report))).toBe('DOCUMENT_INVALID')
  })

  it('does not vouch for a name with a colon in it: the digest says not where it ends', async () => {
    const read = async (name: string, payload: string, more: object = {}, value = v1('a', '623a63')): Promise<EventLogFindings> =>
      replayEventLogs([log(entry(name, payload, { digest: '', ...more }))], reportOf([zero, zero, zero, extend(value)]))
    const proven = async (...of: Parameters<typeof read>): Promise<readonly unknown[]> => {
      const found = await read(...of)
      expect(troublesOf(found)).toEqual([])
      return found.events.map((e) => [e.contentIsMeasured, e.valueIsMeasured])
    }
    expect(await proven('a', '623a63')).toEqual([[true, true]])
    expect(await proven('a:b', '63')).toEqual([[false, false]])
    expect(await proven('a:b', '63', { version: 2 }, v2('a:b', '63'))).toEqual([[true, true]])
  })

  it('may tell of the boot as well, by digest alone', async () => {
    const boot = { imr: 0, event_type: 4, digest: toHex(sha384(new Uint8Array(4))), event: '', event_payload: '00000000' }
    const label = { imr: 1, event_type: 0x80000003, digest: toHex(testBytes('image', 48)), event: '', event_payload: 'aabb' }
    const rtmrs = [extend(sha384(new Uint8Array(4))), extend(testBytes('image', 48)), zero, rtmr3]
    const found = await replayEventLogs([log(boot, label, entry('app-id', 'aabb'), entry('compose-hash', '0011'))], reportOf(rtmrs))
    expect(found.checks.map((c) => [c.rule, c.outcome])).toEqual([0, 1, 3].map((i) => [`binding.rtmr${i}`, 'pass']))
    expect(found.events.map((e) => e.contentIsMeasured)).toEqual([true, false, true, true])
  })

  it('goes together with a CCEL', async () => {
    const rtmrs = registers(EVENTS).map((r, i) => (i === 3 ? rtmr3 : r))
    const found = await replayEventLogs([ccel(EVENTS), log(entry('app-id', 'aabb'), entry('compose-hash', '0011'))], reportOf(rtmrs))
    expect(found.checks.map((c) => [c.rule, c.outcome])).toEqual([0, 1, 2, 3].map((i) => [`binding.rtmr${i}`, 'pass']))
    expect(found.notChecked).toEqual([])
  })

  it.each([
    ['register 4', { imr: 4 }],
    ['no name', { event: undefined }],
    ['a payload that is not hexadecimal', { event_payload: 'xy' }],
    ['a digest of another size', { event_type: 5, digest: 'aa' }],
  ] as const)('is refused with %s', async (_, change) => {
    expect(await outcomeOf(() => replayEventLogs([log(entry('a', '00', change))], report))).toBe('DOCUMENT_INVALID')
  })

  it('is refused beyond 1 MiB, as a CCEL is, and so are more logs than eight', async () => {
    const large = concat(log(entry('app-id', 'aabb')), new Uint8Array(1024 * 1024).fill(0x20))
    for (const one of [large, concat(ccel(EVENTS), new Uint8Array(1024 * 1024).fill(0xff))]) {
      expect(await outcomeOf(() => replayEventLogs([one], report))).toBe('EVIDENCE_TRAILING')
    }
    const many = Array.from({ length: 9 }, () => log())
    expect(await outcomeOf(() => replayEventLogs(many.slice(1), report))).not.toBe('LIMIT_EXCEEDED')
    expect(await outcomeOf(() => replayEventLogs(many, report))).toBe('LIMIT_EXCEEDED')
  })

  it('is refused when it is neither', async () => {
    expect(await outcomeOf(() => replayEventLogs([utf8('{"imr":3}')], report))).toBe('EVIDENCE_UNRECOGNIZED')
    expect(await outcomeOf(() => replayEventLogs([new Uint8Array(0)], report))).toBe('EVIDENCE_UNRECOGNIZED')
  })
})
