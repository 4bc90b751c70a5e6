import { equal, isZero, toHex, utf8 } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import { SHA256 } from '../../verify/evidence/tpm/algorithms.ts'
import { parseAttest } from '../../verify/evidence/tpm/attest.ts'
import { digestPcrs } from '../../verify/evidence/tpm/pcrs.ts'
import type { Attester, AttesterReport } from './attester.ts'
import { createAttestationKey, flush, type LoadedKey, quote, readPcrs, readPublicArea } from './tpm-commands.ts'
import { openTpmAt, type TpmTransport } from './tpm-transport.ts'

/** A quote and what a verifier needs beside it; each is recognised by content when it is given as collateral. */
export interface TpmEvidence {
  /** TPMS_ATTEST. */
  readonly quote: Uint8Array
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array
  /** Values of the quoted PCRs as JSON, by index. */
  readonly pcrs: Uint8Array
  /** TPMT_PUBLIC of the key that signed. */
  readonly akPublic: Uint8Array
}

export interface TpmAttestOptions {
  /** 1 to 64 bytes that the quote carries: `extraData`. */
  readonly nonce: Uint8Array
  /** PCRs of the SHA-256 bank, 0 to 23; all of them by default. */
  readonly pcrs?: readonly number[]
  /** A key in the TPM, such as one that a cloud certified. By default the owner hierarchy's ECDSA key is made anew. */
  readonly akHandle?: number
}

/**
 * Takes quotes that carry SHA-256 of the binding (design section 4). Signature, PCR values and key come as endorsements.
 * @param place - Path of the device, or `tcp:HOST:PORT`.
 * @throws AttestError `ATTESTER_UNAVAILABLE`.
 */
export async function openTpm(place: string): Promise<Attester> {
  // One that cannot be opened shall be known now, and not at the first job.
  await (await openTpmAt(place)).close()
  return { format: 'tpm', simulated: false, attest: ({ bindingDigest }) => attestBinding(place, bindingDigest) }
}

async function attestBinding(place: string, bindingDigest: Uint8Array): Promise<AttesterReport> {
  const tpm = await openTpmAt(place)
  try {
    const { quote: report, signature, pcrs, akPublic } = await attestTpm(tpm, { nonce: bindingDigest })
    return { report, endorsements: [signature, pcrs, akPublic] }
  } finally {
    await tpm.close()
  }
}

const PCR_COUNT = 24
const MAX_NONCE = 64
/** PCRs may be extended between the quote and the reading of their values. */
const MAX_ATTEMPTS = 5

/**
 * Takes a quote. The values in it are those that were quoted: a lost race against something that extends a PCR is run again.
 * @throws AttestError `ATTESTER_UNAVAILABLE` for a TPM that does not answer, refuses, or answers what does not parse; `USAGE`.
 * @see TPM 2.0 Library part 3: TPM2_CreatePrimary, TPM2_Quote, TPM2_PCR_Read, TPM2_FlushContext.
 */
export async function attestTpm(tpm: TpmTransport, options: TpmAttestOptions): Promise<TpmEvidence> {
  const { nonce, pcrs = Array.from({ length: PCR_COUNT }, (_, i) => i), akHandle } = options
  if (nonce.length === 0 || nonce.length > MAX_NONCE) throw new AttestError('USAGE', `a nonce has 1 to ${MAX_NONCE} bytes`)
  const bitmap = bitmapOf(pcrs)
  const ak = akHandle === undefined ? await createAttestationKey(tpm) : await loaded(tpm, akHandle)
  try {
    return await attestWith(tpm, ak, nonce, bitmap)
  } finally {
    // A transient key takes one of a few slots, whatever went wrong with it.
    if (akHandle === undefined) await flush(tpm, ak.handle).catch(() => undefined)
  }
}

async function loaded(tpm: TpmTransport, handle: number): Promise<LoadedKey> {
  return { handle, publicArea: await readPublicArea(tpm, handle) }
}

async function attestWith(tpm: TpmTransport, ak: LoadedKey, nonce: Uint8Array, bitmap: Uint8Array): Promise<TpmEvidence> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const { attest, signature } = await quote(tpm, ak.handle, nonce, bitmap)
    const values = await readAll(tpm, bitmap)
    const { selections, pcrDigest, extraData } = parseAttest(attest)
    const digest = await digestPcrs(SHA256, selections, [{ hash: SHA256, values }])
    if (digest === null || !equal(digest, pcrDigest)) continue
    if (!equal(extraData, nonce)) throw new AttestError('ATTESTER_UNAVAILABLE', 'the quote carries other data', { at: 'tpm.quote' })
    const json = JSON.stringify(Object.fromEntries([...values].map(([index, value]) => [`${index}`, toHex(value)])))
    return { quote: attest, signature, pcrs: utf8(json), akPublic: ak.publicArea }
  }
  throw new AttestError('ATTESTER_UNAVAILABLE', `PCRs changed during each of ${MAX_ATTEMPTS} quotes`, { at: 'tpm.quote' })
}

/** TPM2_PCR_Read gives at most eight at once. */
async function readAll(tpm: TpmTransport, bitmap: Uint8Array): Promise<ReadonlyMap<number, Uint8Array>> {
  const values = new Map<number, Uint8Array>()
  for (let left = bitmap; !isZero(left); ) {
    const { given, values: read } = await readPcrs(tpm, left)
    const indices = indicesOf(given)
    const isPart = indices.length > 0 && given.every((byte, i) => (byte & ~(left[i] ?? 0)) === 0)
    if (!isPart || indices.length !== read.length)
      throw new AttestError('ATTESTER_UNAVAILABLE', 'the TPM reads other PCRs than it was asked for', { at: 'tpm.pcrs' })
    for (const [i, index] of indices.entries()) values.set(index, read[i] ?? new Uint8Array(0))
    left = left.map((byte, i) => byte & ~(given[i] ?? 0))
  }
  return values
}

function bitmapOf(pcrs: readonly number[]): Uint8Array {
  const bitmap = new Uint8Array(PCR_COUNT / 8)
  for (const pcr of pcrs) {
    if (!Number.isInteger(pcr) || pcr < 0 || pcr >= PCR_COUNT) throw new AttestError('USAGE', `PCR ${pcr}`)
    bitmap[pcr >> 3] = (bitmap[pcr >> 3] ?? 0) | (1 << (pcr & 7))
  }
  if (isZero(bitmap)) throw new AttestError('USAGE', 'a quote over no PCR proves nothing')
  return bitmap
}

function indicesOf(bitmap: Uint8Array): readonly number[] {
  return Array.from({ length: PCR_COUNT }, (_, i) => i).filter((i) => ((bitmap[i >> 3] ?? 0) >> (i & 7)) % 2 === 1)
}
