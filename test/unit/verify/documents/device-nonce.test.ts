import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../../../src/verify/bytes/bytes.ts'
import { encodeBinding, parseBinding } from '../../../../src/verify/documents/binding.ts'
import { deviceNonce } from '../../../../src/verify/documents/device-nonce.ts'

const bytes = readFileSync(new URL('../../../vectors/documents/016-binding/payload.golden.json', import.meta.url))
const binding = parseBinding(new Uint8Array(bytes))
const sha256 = (data: Uint8Array): Buffer => createHash('sha256').update(data).digest()

describe('nonce of a device', () => {
  it('is the hash of context, bare binding and index', async () => {
    const by = (index: number): string => {
      const number = Buffer.alloc(4)
      number.writeUInt32BE(index)
      return sha256(Buffer.concat([Buffer.from('sealgate/gpu/v1'), sha256(bytes), number])).toString('hex')
    }
    for (const index of [0, 1, 63]) expect(toHex(await deviceNonce(binding, index))).toBe(by(index))
  })

  it('does not depend on the devices that the binding names', async () => {
    const named = { ...binding, devices: [{ type: 'gpu' as const, report: 'A'.repeat(43) }] }
    expect(encodeBinding(named)).not.toEqual(encodeBinding(binding))
    expect(await deviceNonce(named, 5)).toEqual(await deviceNonce(binding, 5))
  })

  it('is another one for every index, nonce, key, role, configuration and job', async () => {
    const changes = [
      {},
      { nonce: 'A'.repeat(43) },
      { kem: { ...binding.kem, publicKey: binding.kem.publicKey.replace(/^./, 'A') } },
      { sig: { ...binding.sig, publicKey: 'A'.repeat(43) } },
      { role: 'session' as const },
      { config: 'A'.repeat(43) },
      { job: null },
      { tls: 'A'.repeat(43) },
    ]
    const seen = await Promise.all(changes.flatMap((c) => [0, 1].map(async (i) => toHex(await deviceNonce({ ...binding, ...c }, i)))))
    expect(new Set(seen).size).toBe(2 * changes.length)
  })
})
