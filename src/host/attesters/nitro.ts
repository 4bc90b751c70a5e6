import { access } from 'node:fs/promises'
import { decode, encode } from 'cbor2'
import * as z from 'zod'
import { AttestError } from '../../verify/errors.ts'
import type { AttestationSubject, Attester, AttesterReport } from './attester.ts'
import { carries } from './carries.ts'
import { type Ioctl, iowr, kernelIoctl } from './ioctl.ts'

/** The Nitro Secure Module (Linux drivers/misc/nsm.c). Its raw call needs CAP_SYS_ADMIN. */
export const NSM = '/dev/nsm'

// Linux include/uapi/linux/nsm.h: `nsm_raw` is two `nsm_iovec` (addr u64, len u64), request and response.
const RAW = { size: 32, requestAddress: 0, requestLength: 8, responseAddress: 16, responseLength: 24 } as const
export const NSM_IOCTL_RAW: number = iowr(0x0a, 0x0, RAW.size)
const MAX_REQUEST_SIZE = 0x1000
const MAX_RESPONSE_SIZE = 0x3000

/** AWS, attestation document: `public_key` has 1 to 1024 bytes. */
const MAX_PUBLIC_KEY_SIZE = 1024

/** What the module answers (AWS aws-nitro-enclaves-nsm-api, `Response`). */
const answerSchema = z.union([
  z.strictObject({ Attestation: z.strictObject({ document: z.instanceof(Uint8Array) }) }),
  z.strictObject({ Error: z.string().regex(/^[A-Za-z]{1,64}$/) }),
])

/**
 * Takes attestation documents from the Nitro Secure Module: `user_data` = SHA-512 of the binding, `nonce` = its nonce,
 * `public_key` = its KEM key where that fits into 1024 bytes (the binding names the key in any case).
 * @throws AttestError `ATTESTER_UNAVAILABLE` when the device or the optional package for system calls is missing.
 */
export async function openNitro(path: string = NSM, ioctl?: Ioctl): Promise<Attester> {
  await access(path).catch((cause: unknown) => {
    throw new AttestError('ATTESTER_UNAVAILABLE', `no Nitro Secure Module at ${path}`, { at: path, cause })
  })
  const call = ioctl ?? (await kernelIoctl())
  return { format: 'nitro', simulated: false, attest: (subject) => attest(path, call, subject) }
}

async function attest(path: string, ioctl: Ioctl, subject: AttestationSubject): Promise<AttesterReport> {
  const report = parseNsmAnswer(await ask(path, ioctl, attestationRequest(subject)), path)
  if (carries(report, subject.reportData) && carries(report, subject.nonce)) return { report, endorsements: [] }
  throw new AttestError('ATTESTER_UNAVAILABLE', 'the document carries other data than ours', { at: path })
}

function attestationRequest({ reportData, nonce, publicKey }: AttestationSubject): Uint8Array {
  const key = publicKey.length <= MAX_PUBLIC_KEY_SIZE ? new Uint8Array(publicKey) : null
  // Copies, since the encoder writes a Buffer as a JSON object.
  return encode({ Attestation: { user_data: new Uint8Array(reportData), nonce: new Uint8Array(nonce), public_key: key } })
}

async function ask(path: string, ioctl: Ioctl, request: Uint8Array): Promise<Uint8Array> {
  if (request.length > MAX_REQUEST_SIZE) throw new AttestError('INTERNAL', `request of ${request.length} bytes`)
  const response = new Uint8Array(MAX_RESPONSE_SIZE)
  const argument = new Uint8Array(RAW.size)
  const view = new DataView(argument.buffer)
  view.setBigUint64(RAW.requestLength, BigInt(request.length), true)
  view.setBigUint64(RAW.responseLength, BigInt(response.length), true)
  const pointers = [
    { holder: argument, at: RAW.requestAddress, target: request },
    { holder: argument, at: RAW.responseAddress, target: response },
  ]
  const errno = await ioctl({ path, request: NSM_IOCTL_RAW, argument, pointers })
  if (errno !== null) throw new AttestError('ATTESTER_UNAVAILABLE', `the Nitro Secure Module did not answer: ${errno}`, { at: path })
  const length = view.getBigUint64(RAW.responseLength, true)
  if (length > MAX_RESPONSE_SIZE) throw new AttestError('ATTESTER_UNAVAILABLE', `answer of ${length} bytes`, { at: path })
  return response.slice(0, Number(length))
}

/**
 * The attestation document in an answer of the module.
 * @param at - Place for errors.
 * @throws AttestError `ATTESTER_UNAVAILABLE`, also for an answer that is an error.
 */
export function parseNsmAnswer(response: Uint8Array, at: string): Uint8Array {
  const answer = answerSchema.safeParse(decodeStrictly(response, at))
  if (!answer.success) throw new AttestError('ATTESTER_UNAVAILABLE', 'the Nitro Secure Module gave no document', { at })
  if ('Error' in answer.data) throw new AttestError('ATTESTER_UNAVAILABLE', `the Nitro Secure Module refused: ${answer.data.Error}`, { at })
  return answer.data.Attestation.document
}

function decodeStrictly(response: Uint8Array, at: string): unknown {
  try {
    return decode(response, { maxDepth: 4, rejectDuplicateKeys: true, rejectStreaming: true })
  } catch (cause) {
    throw new AttestError('ATTESTER_UNAVAILABLE', 'the answer of the Nitro Secure Module is not CBOR', { at, cause })
  }
}
