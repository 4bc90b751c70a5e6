import { crypto } from '#crypto'
import { concat, u32be, utf8 } from '../bytes/bytes.ts'
import { type Binding, encodeBinding } from './binding.ts'

const CONTEXT = utf8('sealgate/gpu/v1')

/**
 * The nonce that device `index` of a binding signs (design section 4): SHA-256("sealgate/gpu/v1" ‖ SHA-256(canonical
 * binding with `devices: []`) ‖ u32be(index)). So a device's report points at the whole binding before the CPU's report
 * points at the device's.
 * @param binding - Its `devices` do not matter.
 * @returns 32 bytes.
 */
export async function deviceNonce(binding: Binding, index: number): Promise<Uint8Array> {
  const digest = await crypto.digest('SHA-256', encodeBinding({ ...binding, devices: [] }))
  return crypto.digest('SHA-256', concat(CONTEXT, digest, u32be(index)))
}
