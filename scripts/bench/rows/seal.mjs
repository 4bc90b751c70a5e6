import { createCipheriv, createDecipheriv, createSecretKey, randomBytes } from 'node:crypto'
import { createDatasetHeader, openStream, SEGMENT_SIZE, sealStream } from '../../../dist/seal/index.js'
import { interleave } from '../interleave.mjs'

const SIZE = 64 * 1024 * 1024
const MB = 1e6
const LEGAL = { purposes: [], legalBasis: null, categories: [], jurisdictions: [], retention: null, agreement: null }
const random = (size) => new Uint8Array(randomBytes(size))
const cut = (bytes) =>
  Array.from({ length: Math.ceil(bytes.length / SEGMENT_SIZE) }, (_, i) => bytes.subarray(i * SEGMENT_SIZE, (i + 1) * SEGMENT_SIZE))

async function drain(stream) {
  for await (const chunk of stream) if (chunk.length === 0) throw new Error('empty chunk')
}

const header = () =>
  createDatasetHeader({ content: 'file', plaintextSize: SIZE, owner: randomBytes(32).toString('base64url'), legal: LEGAL, random })

/** Memory to memory, 64 MiB in chunks of 1 MiB, against one createCipheriv per chunk over the same chunks. */
export async function encrypt() {
  const chunks = cut(random(SIZE))
  const { bytes, dek } = await header()
  const key = createSecretKey(randomBytes(32))
  const ours = async () => {
    await drain(sealStream(chunks, { header: bytes, dek, random }))
    return SIZE / MB
  }
  const bare = () => {
    for (const [i, chunk] of chunks.entries()) {
      const cipher = createCipheriv('aes-256-gcm', key, nonce(i))
      cipher.update(chunk)
      cipher.final()
      cipher.getAuthTag()
    }
    return SIZE / MB
  }
  return interleave(ours, bare)
}

/** The other way round, over what `sealStream` made. */
export async function decrypt() {
  const plaintext = random(SIZE)
  const { bytes, dek } = await header()
  const sealed = []
  for await (const chunk of sealStream([plaintext], { header: bytes, dek, random })) sealed.push(chunk)
  const chunks = cut(Buffer.concat(sealed))
  const key = createSecretKey(randomBytes(32))
  const pieces = cut(plaintext).map((chunk, i) => {
    const cipher = createCipheriv('aes-256-gcm', key, nonce(i))
    const ciphertext = Buffer.concat([cipher.update(chunk), cipher.final()])
    return { ciphertext, tag: cipher.getAuthTag() }
  })
  const ours = async () => {
    await drain(openStream(chunks, { header: bytes, dek }))
    return SIZE / MB
  }
  const bare = () => {
    for (const [i, { ciphertext, tag }] of pieces.entries()) {
      const decipher = createDecipheriv('aes-256-gcm', key, nonce(i))
      decipher.setAuthTag(tag)
      decipher.update(ciphertext)
      decipher.final()
    }
    return SIZE / MB
  }
  return interleave(ours, bare)
}

function nonce(i) {
  const iv = Buffer.alloc(12)
  iv.writeUInt32BE(i, 7)
  return iv
}
