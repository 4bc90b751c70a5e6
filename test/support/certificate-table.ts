import { concat, fromHex } from '../../src/verify/bytes/bytes.ts'

/** Kinds of contents, as tables name them. */
export const GUID = {
  vcek: '63da758de6644564adc5f4b93be8accd',
  vcekInMicrosoftOrder: '8d75da6364e66445adc5f4b93be8accd',
  ask: '4ab7b379bbac4fe4a02f05aef327c782',
  ark: 'c0b406a4a803495297433fb6014cd0ae',
  crl: '92f81bc358114d3d97ffd19f88dc67ea',
  firmware: '9f4116cdc5034f8c8f6ffb1ba7b7ee5a',
} as const

export function u32le(value: number): Uint8Array {
  const out = new Uint8Array(4)
  new DataView(out.buffer).setUint32(0, value, true)
  return out
}

/** A certificate table as a host makes it: entries, then their contents one after the other. */
export function certificateTable(contents: readonly (readonly [guid: string, bytes: Uint8Array])[]): Uint8Array {
  let offset = 24 * (contents.length + 1)
  const heads: Uint8Array[] = []
  for (const [guid, bytes] of contents) {
    heads.push(fromHex(guid), u32le(offset), u32le(bytes.length))
    offset += bytes.length
  }
  return concat(...heads, new Uint8Array(24), ...contents.map(([, bytes]) => bytes))
}
