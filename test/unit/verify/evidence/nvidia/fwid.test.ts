import { describe, expect, it } from 'vitest'
import { der } from '../../../../../src/sim/der.ts'
import { toHex } from '../../../../../src/verify/bytes/bytes.ts'
import { readFwid } from '../../../../../src/verify/evidence/nvidia/fwid.ts'
import type { Certificate } from '../../../../../src/verify/formats/x509.ts'
import { outcomeOf } from '../../../../support/outcome.ts'

const SHA384 = '2.16.840.1.101.3.4.2.2'
const SHA256 = '2.16.840.1.101.3.4.2.1'
const digest = new Uint8Array(48).fill(9)
const fwid = (hash = SHA384, value = digest): Uint8Array => der.sequence(der.oid(hash), der.octets(value))
const composite = (id = fwid()): Uint8Array => der.sequence(der.integer(1), der.sequence(), id)
const vendor = der.implicit(0, new Uint8Array(7).fill(0x41))
const tcbInfo = (...members: Uint8Array[]): Uint8Array => der.sequence(...members)
const fwids = der.tagged(6, fwid(), fwid(SHA384, new Uint8Array(48)))

function leaf(extensions: Readonly<Record<string, Uint8Array>>): Certificate {
  return {
    extensions: new Map(Object.entries(extensions).map(([oid, value]) => [oid, { oid, critical: false, value }])),
  } as unknown as Certificate
}

const HOPPER = '2.23.133.5.4.1'
const BLACKWELL = '2.23.133.5.4.1.1'

describe('the firmware id of a leaf', () => {
  it('is read as Hopper writes it, and as Blackwell does: the first of its list', () => {
    for (const [oid, value] of [
      [HOPPER, composite()],
      [BLACKWELL, tcbInfo(vendor, fwids, der.implicit(7, Uint8Array.of(0)))],
    ] as const) {
      const read = readFwid(leaf({ [oid]: value }))
      expect([read?.oid, toHex(read?.digest ?? new Uint8Array())]).toEqual([oid, toHex(digest)])
    }
    expect(readFwid(leaf({}))).toBeNull()
  })

  it.each([
    ['both forms', { [HOPPER]: composite(), [BLACKWELL]: tcbInfo(fwids) }],
    ['SHA-256', { [HOPPER]: composite(fwid(SHA256, digest)) }],
    ['a short digest', { [HOPPER]: composite(fwid(SHA384, digest.subarray(1))) }],
    ['something after it', { [HOPPER]: der.sequence(der.integer(1), der.sequence(), fwid(), fwid()) }],
    ['no list of ids', { [BLACKWELL]: tcbInfo(vendor) }],
    ['members out of order', { [BLACKWELL]: tcbInfo(fwids, vendor) }],
    ['the list twice', { [BLACKWELL]: tcbInfo(fwids, fwids) }],
    ['a member without a tag', { [BLACKWELL]: tcbInfo(der.integer(1), fwids) }],
  ])('with %s is refused', async (_, extensions) => {
    expect(await outcomeOf(() => readFwid(leaf(extensions)))).toBe('CERTIFICATE_MALFORMED')
  })

  it('is refused at every truncation', async () => {
    for (const [oid, value] of [[HOPPER, composite()] as const, [BLACKWELL, tcbInfo(vendor, fwids)] as const]) {
      for (let size = 0; size < value.length; size++)
        expect(await outcomeOf(() => readFwid(leaf({ [oid]: value.subarray(0, size) })))).not.toBe('accepted')
    }
  })
})
