import { join } from 'node:path'
import type { Logger } from 'pino'
import { equal } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import { COSIGNATURE_ED25519, NOTE_ED25519, parseVerifierKey } from '../../verify/tlog/index.ts'
import type { Clock } from '../clock.ts'
import { type GatewayConfig, readText } from '../config/config.ts'
import type { TransparencyLog } from '../log/index.ts'
import { createHttpPost } from './http.ts'
import { WitnessClient } from './witness-client.ts'
import { WitnessedLog } from './witnessed-log.ts'
import { Witnessing } from './witnessing.ts'

/** Room for the lines of all witnesses in one note, which may have 16384 characters. */
const MAX_LINES_SIZE = 12 * 1024
/** A mark, spaces, and base64 of 76 bytes. */
const LINE_SIZE = 108

export interface OpenWitnessing {
  readonly log: WitnessedLog
  close(): Promise<void>
}

/**
 * Makes the clients of the configured witnesses, and asks each whether it has seen another history than the store holds.
 * @throws AttestError `NOTE_MALFORMED`, `DOCUMENT_INVALID`, `FILE_UNREADABLE`; `LOG_ROLLED_BACK` for a rolled-back database.
 */
export async function openWitnessing(
  folder: string,
  { witnesses, limits }: GatewayConfig,
  log: TransparencyLog,
  clock: Clock,
  logger: Logger,
): Promise<OpenWitnessing> {
  const own = await parseVerifierKey(log.verifierKey, NOTE_ED25519)
  const size = witnesses.reduce((sum, { vkey }) => sum + vkey.indexOf('+') + LINE_SIZE, 0)
  if (size > MAX_LINES_SIZE)
    throw new AttestError('DOCUMENT_INVALID', 'the names of the witnesses are too long for one note', { at: 'witnesses' })
  const posts: ReturnType<typeof createHttpPost>[] = []
  const clients: WitnessClient[] = []
  for (const { url, vkey, caFile } of witnesses) {
    const { name, publicKey } = await parseVerifierKey(vkey, COSIGNATURE_ED25519)
    if (equal(publicKey, own.publicKey)) throw new AttestError('DOCUMENT_INVALID', `${name} has the log's own key`, { at: 'witnesses' })
    const ca = caFile === undefined ? null : readText(join(folder, caFile))
    const post = createHttpPost({ url: new URL(`${url}/add-checkpoint`), clock, timeoutMs: limits.witnessSeconds * 1000, ca })
    posts.push(post)
    clients.push(new WitnessClient(vkey, post, clock))
  }
  const source = { checkpoint: () => log.checkpoint(), consistencyProof: (from: number, to: number) => log.consistencyProof(from, to) }
  const witnessing = new Witnessing(source, clients, clock, logger)
  const close = async (): Promise<void> => {
    await witnessing.close()
    for (const post of posts) post.close()
  }
  try {
    await witnessing.introduce()
  } catch (error) {
    await close()
    throw error
  }
  return { log: new WitnessedLog(log, witnessing), close }
}
