import { sign } from 'node:crypto'
import { cosign, type NoteSigner, signCheckpoint } from '../../seal/note.ts'
import { fromBase64Url } from '../../verify/bytes/bytes.ts'
import { encodeVerifierKey, NOTE_ED25519 } from '../../verify/tlog/index.ts'
import { keyObjectOf, type LogPrivateKey } from '../config/keys.ts'

/** Signs tree heads under the log's key, with the log's own timestamped cosignature. */
export interface CheckpointSigner {
  readonly origin: string
  /** C2SP verifier key, as policies and trust files name it. */
  readonly verifierKey: string
  /** @param time - seconds since the epoch. @returns a C2SP signed note. */
  sign(size: number, root: Uint8Array, time: number): Promise<string>
}

export async function checkpointSigner(key: LogPrivateKey): Promise<CheckpointSigner> {
  const privateKey = keyObjectOf(key)
  const publicKey = fromBase64Url(key.x)
  const signer: NoteSigner = { name: key.origin, publicKey, sign: (message) => new Uint8Array(sign(null, message, privateKey)) }
  return {
    origin: key.origin,
    verifierKey: await encodeVerifierKey({ name: key.origin, type: NOTE_ED25519, publicKey }),
    sign: async (size, root, time) => cosign(await signCheckpoint({ origin: key.origin, size, root }, signer), signer, time),
  }
}
