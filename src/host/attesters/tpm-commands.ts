import { concat, u32be } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import { ALG } from '../../verify/evidence/tpm/algorithms.ts'
import { OBJECT_BIT, type ObjectAttribute } from '../../verify/evidence/tpm/public.ts'
import { TpmReader } from '../../verify/evidence/tpm/reader.ts'
import type { TpmTransport } from './tpm-transport.ts'

/** Codes of TPM 2.0 Library part 2: structure tags (table 19), commands (table 12), handles (table 28). */
const NO_SESSIONS = 0x8001
const SESSIONS = 0x8002
const COMMAND = { createPrimary: 0x131, quote: 0x158, flushContext: 0x165, readPublic: 0x173, pcrRead: 0x17e } as const
const OWNER = 0x40000001
const PASSWORD_SESSION = 0x40000009
/** The TPM is busy and wants the command again (part 1, section 39.4). */
const RC_RETRY = 0x922
const MAX_RETRIES = 16
const HEADER_SIZE = 10
const MAX_BUFFER = 2048

/** An empty password. */
const NO_AUTH = concat(u32be(9), u32be(PASSWORD_SESSION), Uint8Array.of(0, 0, 0, 0, 0))
const ECC_P256 = 0x0003

/** Attributes of a key that signs quotes and nothing that the TPM did not make. */
const AK_ATTRIBUTES: readonly ObjectAttribute[] = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'userWithAuth', 'restricted', 'sign']

/** A key that is loaded, with its TPMT_PUBLIC. */
export interface LoadedKey {
  readonly handle: number
  readonly publicArea: Uint8Array
}

/** Makes the owner hierarchy's ECDSA P-256 attestation key: the same one each time, until that hierarchy is cleared. */
export async function createAttestationKey(tpm: TpmTransport): Promise<LoadedKey> {
  const attributes = AK_ATTRIBUTES.reduce((bits, name) => bits | (1 << OBJECT_BIT[name]), 0)
  const template = concat(
    ...[ALG.ecc, ALG.sha256].map(u16be),
    u32be(attributes),
    sized(new Uint8Array(0)),
    ...[ALG.null, ALG.ecdsa, ALG.sha256, ECC_P256, ALG.null, 0, 0].map(u16be),
  )
  const sensitive = sized(concat(u16be(0), u16be(0)))
  const command = concat(u32be(OWNER), NO_AUTH, sensitive, sized(template), u16be(0), u32be(0))
  return run(tpm, SESSIONS, COMMAND.createPrimary, command, (r) => {
    const handle = r.u32()
    return { handle, publicArea: inSession(r, () => r.sized(MAX_BUFFER)) }
  })
}

/** TPMT_PUBLIC of a key that lies in the TPM, such as one that a cloud has certified. */
export function readPublicArea(tpm: TpmTransport, handle: number): Promise<Uint8Array> {
  return run(tpm, NO_SESSIONS, COMMAND.readPublic, u32be(handle), (r) => {
    const publicArea = r.sized(MAX_BUFFER)
    r.sized(MAX_BUFFER)
    r.sized(MAX_BUFFER)
    r.end()
    return publicArea
  })
}

/** TPMS_ATTEST and TPMT_SIGNATURE over PCRs of the SHA-256 bank. @param pcrs - Bit map of three bytes. */
export function quote(
  tpm: TpmTransport,
  handle: number,
  extraData: Uint8Array,
  pcrs: Uint8Array,
): Promise<{ attest: Uint8Array; signature: Uint8Array }> {
  const command = concat(u32be(handle), NO_AUTH, sized(extraData), u16be(ALG.null), selection(pcrs))
  return run(tpm, SESSIONS, COMMAND.quote, command, (r) => {
    let attest = new Uint8Array(0)
    const signature = inSession(r, (end) => {
      attest = new Uint8Array(r.sized(MAX_BUFFER))
      return r.bytes(end - r.cursor)
    })
    return { attest, signature }
  })
}

/** As many of the selected PCRs as the TPM gives at once, ascending; `given` is the bit map of those. */
export function readPcrs(tpm: TpmTransport, pcrs: Uint8Array): Promise<{ given: Uint8Array; values: readonly Uint8Array[] }> {
  return run(tpm, NO_SESSIONS, COMMAND.pcrRead, selection(pcrs), (r) => {
    r.u32()
    if (r.u32() !== 1 || r.u16() !== ALG.sha256 || r.u8() !== 3) throw r.refuse('PCR selection of another form')
    const given = r.bytes(3)
    const count = r.u32()
    if (count > 8) throw r.refuse(`${count} digests`)
    const values = Array.from({ length: count }, () => r.sized(32))
    r.end()
    return { given, values }
  })
}

export async function flush(tpm: TpmTransport, handle: number): Promise<void> {
  await run(tpm, NO_SESSIONS, COMMAND.flushContext, u32be(handle), (r) => r.end())
}

/** Sends a command and reads the answer; one that does not parse to the byte is as good as none. */
async function run<T>(tpm: TpmTransport, tag: number, code: number, body: Uint8Array, read: (r: TpmReader) => T): Promise<T> {
  const command = concat(u16be(tag), u32be(HEADER_SIZE + body.length), u32be(code), body)
  const at = `tpm.command.0x${code.toString(16)}`
  for (let tries = 0; tries < MAX_RETRIES; tries++) {
    const response = await transmit(tpm, command, at)
    const r = new TpmReader(at, response)
    const [gotTag, size, rc] = [r.u16(), r.u32(), r.u32()]
    if (size !== response.length) throw unavailable(`answer of ${response.length} bytes says ${size}`, at)
    if (rc === RC_RETRY) continue
    if (rc !== 0) throw unavailable(`the TPM refuses with 0x${rc.toString(16)}`, at)
    if (gotTag !== tag) throw unavailable(`answer with tag 0x${gotTag.toString(16)}`, at)
    return parsed(() => read(r), at)
  }
  throw unavailable(`the TPM was busy ${MAX_RETRIES} times`, at)
}

async function transmit(tpm: TpmTransport, command: Uint8Array, at: string): Promise<Uint8Array> {
  try {
    const response = await tpm.transmit(command)
    if (response.length < HEADER_SIZE) throw new Error(`answer of ${response.length} bytes`)
    return response
  } catch (cause) {
    throw new AttestError('ATTESTER_UNAVAILABLE', 'the TPM does not answer', { at, cause })
  }
}

function parsed<T>(read: () => T, at: string): T {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof AttestError)) throw cause
    throw new AttestError('ATTESTER_UNAVAILABLE', `the TPM's answer does not parse: ${cause.message}`, { at, cause })
  }
}

/** Parameters behind their size, then the answer of the password session: no nonce, session goes on or not, no HMAC. */
function inSession<T>(r: TpmReader, read: (end: number) => T): T {
  const size = r.u32()
  const end = r.cursor + size
  const value = read(end)
  if (r.cursor > end) throw r.refuse('parameters pass their end')
  r.bytes(end - r.cursor)
  if (r.u16() !== 0) throw r.refuse('a password session has no nonce')
  r.u8()
  if (r.u16() !== 0) throw r.refuse('a password session has no HMAC')
  r.end()
  return value
}

function selection(pcrs: Uint8Array): Uint8Array {
  return concat(u32be(1), u16be(ALG.sha256), Uint8Array.of(pcrs.length), pcrs)
}

function sized(bytes: Uint8Array): Uint8Array {
  return concat(u16be(bytes.length), bytes)
}

function u16be(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff)
}

function unavailable(message: string, at: string): AttestError {
  return new AttestError('ATTESTER_UNAVAILABLE', message, { at })
}
