import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bundleFromWire, bundleToWire, entryFromWire, entryToWire, verdictFromWire, verdictToWire } from '../../../src/rpc/convert.ts'
import { sealgate } from '../../../src/rpc/messages.ts'
import { toNumber } from '../../../src/rpc/numbers.ts'
import type { EvidenceBundle } from '../../../src/verify/documents/evidence-bundle.ts'

const { EvidenceBundle: WireBundle, LoggedEntry, Verdict } = sealgate.v1
const bytes = fc.uint8Array({ minLength: 1, maxLength: 64 })
const bundle: fc.Arbitrary<EvidenceBundle> = fc.record({
  binding: bytes,
  config: bytes,
  cpu: fc.record({ format: fc.constantFrom('sev-snp', 'tdx'), report: bytes }),
  devices: fc.array(fc.record({ type: fc.constantFrom('gpu' as const, 'nvswitch' as const), report: bytes, certificateChain: bytes })),
  endorsements: fc.array(bytes),
})

describe('wire conversion', () => {
  it('carries every evidence bundle through protobuf unchanged', () => {
    fc.assert(
      fc.property(bundle, (value) => {
        const wire = WireBundle.decode(WireBundle.encode(bundleToWire(value)).finish())
        expect(bundleFromWire(wire)).toEqual(value)
      }),
    )
  })

  it('carries every log entry through protobuf unchanged', () => {
    const hash = fc.uint8Array({ minLength: 32, maxLength: 32 })
    const entry = fc.record({ leaf: bytes, salt: hash, index: fc.maxSafeNat(), proof: fc.array(hash), checkpoint: fc.string() })
    fc.assert(
      fc.property(entry, (value) => {
        const wire = LoggedEntry.decode(LoggedEntry.encode(entryToWire(value)).finish())
        expect(entryFromWire(wire)).toEqual(value)
      }),
    )
  })

  it('keeps outcome and allowance of each check', () => {
    const checks = [
      { rule: 'chain.vcek', outcome: 'pass', want: 'a', got: 'a' },
      { rule: 'revocation.crl', outcome: 'unknown', allowed: true, want: 'a CRL', got: 'none' },
      { rule: 'debug.off', outcome: 'fail', want: 'off', got: 'on' },
    ] as const
    const wire = verdictToWire({ accepted: false, authentic: true, format: 'sev-snp', checks, notChecked: ['nonce'], claims: null })
    const back = verdictFromWire(Verdict.decode(Verdict.encode(wire).finish()))
    expect(back.checks).toEqual(checks)
    expect([back.accepted, back.authentic, back.claims.length]).toEqual([false, true, 0])
  })

  it('reads an unspecified outcome as unknown, never as pass', () => {
    expect(verdictFromWire({ checks: [{ rule: 'chain.x' }] }).checks[0]?.outcome).toBe('unknown')
    expect(verdictFromWire(null).accepted).toBe(false)
  })

  it('refuses missing evidence, unknown devices and integers beyond 2^53', () => {
    expect(() => bundleFromWire(null)).toThrow(expect.objectContaining({ code: 'DOCUMENT_INVALID' }))
    expect(() => bundleFromWire({ cpu: {}, devices: [{ type: 'fpga' }] })).toThrow(expect.objectContaining({ code: 'DOCUMENT_INVALID' }))
    expect(() => entryFromWire(undefined)).toThrow(expect.objectContaining({ code: 'DOCUMENT_INVALID' }))
    const huge = LoggedEntry.decode(Uint8Array.from([0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]))
    expect(() => toNumber(huge.index)).toThrow(expect.objectContaining({ code: 'DOCUMENT_INVALID' }))
  })
})
