import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Logger, pino } from 'pino'
import type { NoteSigner } from '../seal/note.ts'
import { equal } from '../verify/bytes/bytes.ts'
import { AttestError } from '../verify/errors.ts'
import { COSIGNATURE_ED25519, encodeVerifierKey, NOTE_ED25519, parseVerifierKey } from '../verify/tlog/index.ts'
import { loadWitnessConfig, loadWitnessKey, readText, WITNESS_FILES, type WitnessConfig } from './config.ts'
import { Cosigner } from './cosigner.ts'
import { type FetchEntries, fetchEntries } from './entries.ts'
import { lockFolder } from './folder-lock.ts'
import { serveWitness } from './server.ts'
import { type DiskCalls, StateFile } from './state-file.ts'
import { TagWatch } from './tag-watch.ts'

export interface WitnessOptions {
  /** A witness folder, see {@link WITNESS_FILES}. */
  readonly folder: string
  /** `host:port` instead of the configured one. */
  readonly listen?: string
  /** Default: JSON lines on stderr. */
  readonly logger?: Logger
  /** Milliseconds since the epoch. Default: the system's clock. */
  readonly now?: () => number
  readonly disk?: DiskCalls
  /** Default: HTTP. */
  readonly fetch?: FetchEntries
}

export interface RunningWitness {
  readonly name: string
  /** Where it listens, the port filled in. */
  readonly address: string
  /** C2SP verifier key of type 0x04, as policies and trust files name it. */
  readonly verifierKey: string
  close(): Promise<void>
}

/**
 * Starts a witness from its folder.
 * @throws AttestError `FILE_UNREADABLE`, `DOCUMENT_INVALID`, `STORE_LOCKED`, `LOG_CORRUPT` for a state file that is missing
 * or damaged, `PORT_IN_USE`.
 */
export async function startWitness(options: WitnessOptions): Promise<RunningWitness> {
  const { folder } = options
  const config = await loadWitnessConfig(folder)
  const signer = loadWitnessKey(folder)
  await refuseLogKeys(config, signer)
  const logger = options.logger ?? pino({ name: 'sealgate-witness' }, pino.destination({ dest: 2, sync: true }))
  const verifierKey = await cosignerKeyOf(signer)
  const unlock = await lockFolder(folder, 'witness')
  try {
    if (((await stat(join(folder, WITNESS_FILES.key))).mode & 0o077) !== 0) {
      logger.warn({ path: WITNESS_FILES.key }, 'the key can be read by others on this machine')
    }
    const state = await StateFile.open(join(folder, WITNESS_FILES.state), verifierKey, options.disk)
    const watched = config.logs.flatMap(({ origin, tiles }) => (tiles === undefined ? [] : [[origin, tiles] as const]))
    const watches = new Map(watched.map(([origin, tiles]) => [origin, new TagWatch(tiles, options.fetch ?? fetchEntries)]))
    const onRepeat = (origin: string, reason: string): void =>
      logger.error({ origin, reason }, 'a log is not cosigned: a use slot was used twice')
    const cosigner = new Cosigner({ signer, logs: config.logs, state, watches, onRepeat, now: options.now ?? Date.now })
    const tls = config.tls === undefined ? null : tlsTexts(folder, config.tls)
    const server = await serveWitness(cosigner, { listen: options.listen ?? config.listen, tls, logger })
    logger.info({ name: signer.name, address: server.address, logs: config.logs.map((log) => log.origin) }, 'witness is listening')
    return {
      name: signer.name,
      address: server.address,
      verifierKey,
      async close() {
        await server.close()
        await cosigner.settled()
        unlock()
      },
    }
  } catch (error) {
    unlock()
    throw error
  }
}

/** Verifier key of a witness. */
export function cosignerKeyOf({ name, publicKey }: Pick<NoteSigner, 'name' | 'publicKey'>): Promise<string> {
  return encodeVerifierKey({ name, type: COSIGNATURE_ED25519, publicKey })
}

/** A log's own key is nobody's witness: policies would not count it. */
async function refuseLogKeys({ logs }: WitnessConfig, { publicKey }: NoteSigner): Promise<void> {
  for (const { key, origin } of logs) {
    if (equal((await parseVerifierKey(key, NOTE_ED25519)).publicKey, publicKey)) {
      throw new AttestError('DOCUMENT_INVALID', `the key of this witness is that of ${origin}`, { at: 'witness' })
    }
  }
}

function tlsTexts(folder: string, { cert, key }: NonNullable<WitnessConfig['tls']>): { readonly cert: string; readonly key: string } {
  return { cert: readText(join(folder, cert)), key: readText(join(folder, key)) }
}
