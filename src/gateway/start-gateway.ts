import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Server } from '@grpc/grpc-js'
import { HealthImplementation } from 'grpc-health-check'
import { type Logger, pino } from 'pino'
import {
  type Address,
  AttestationService,
  DatasetService,
  formatAddress,
  GrantService,
  HostService,
  JobService,
  LogService,
  parseAddress,
  ReceiptService,
  ReleaseService,
} from '../rpc/index.ts'
import { fromBase64Url } from '../verify/bytes/bytes.ts'
import { Appraiser } from './appraiser.ts'
import { BlobAccess } from './blobs/access.ts'
import { byteHandler } from './blobs/http.ts'
import { Uploads } from './blobs/uploads.ts'
import { type Clock, systemClock } from './clock.ts'
import { gatewayCollateral } from './collateral/gateway-collateral.ts'
import { GATEWAY_FILES, type GatewayConfig, loadConfig, logHeadPath } from './config/config.ts'
import { exposedKeyFiles, type GatewayKeys, loadKeys, loadRotation } from './config/keys.ts'
import { gatewayMlDsaSigner } from './config/ml-dsa.ts'
import { Events } from './events/events.ts'
import { Grants } from './grants/grants.ts'
import { Holds } from './grants/holds.ts'
import { HostRegistry } from './hosts/registry.ts'
import { Endings, Jobs } from './jobs/index.ts'
import { checkpointSigner, type PublicListener, type PublicLog, servePublicLog, TransparencyLog } from './log/index.ts'
import { Parties } from './parties/parties.ts'
import { Relay } from './relay/relay.ts'
import { createGrpcServer, type Listener, listen } from './server/listener.ts'
import { addService, Calls } from './server/methods.ts'
import { attestationService } from './services/attestation.ts'
import { datasetService } from './services/datasets.ts'
import { grantService } from './services/grants.ts'
import { hostService } from './services/hosts.ts'
import { jobService } from './services/jobs.ts'
import { logService } from './services/log.ts'
import { receiptService } from './services/receipts.ts'
import { releaseService } from './services/releases.ts'
import { openStore, type Store, type StoreOptions } from './store/open-store.ts'
import { openWitnessing } from './witnessing/open-witnessing.ts'

export interface GatewayOptions {
  /** A gateway folder, see {@link GATEWAY_FILES}. */
  readonly folder: string
  /** `host:port` instead of the configured one. */
  readonly listen?: string
  /** Default: JSON lines on stderr. Never gets the body of a message. */
  readonly logger?: Logger
  readonly clock?: Clock
  readonly store?: StoreOptions
}

export interface RunningGateway {
  readonly name: string
  /** Where it listens, the port filled in. */
  readonly address: string
  /** C2SP verifier key of its log. */
  readonly logKey: string
  /** URL where anybody may read the log; null unless that is configured. */
  readonly publicLog: string | null
  /** Ends connections, then closes the store. Unfinished jobs are taken up at the next start. */
  close(): Promise<void>
}

/**
 * Starts a gateway from its folder.
 * @throws AttestError `FILE_UNREADABLE`, `DOCUMENT_INVALID`, `STORE_LOCKED`, `LOG_CORRUPT`, `LOG_ROLLED_BACK` also for a database of which a
 * witness has seen more, `PORT_IN_USE`, `TLS_REJECTED`.
 */
export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  const config = loadConfig(options.folder)
  loadKeys(options.folder)
  const address = parseAddress(options.listen ?? config.listen)
  const logger = options.logger ?? pino({ name: 'sealgate-gateway' }, pino.destination({ dest: 2, sync: true }))
  for (const path of exposedKeyFiles(options.folder)) logger.warn({ path }, 'a key file can be read by others on this machine')
  if (loadRotation(options.folder) !== null)
    logger.warn('a rotation of keys is unfinished: stop, and run sealgate gateway rotate-keys again')
  const store = await openStore(join(options.folder, GATEWAY_FILES.data), options.store)
  try {
    // Only now: until the store is ours, the keys may be rotated, and old ones must sign nothing any more.
    const keys = loadKeys(options.folder)
    return await serve({ folder: options.folder, config, keys, address, logger, store, clock: options.clock ?? systemClock })
  } catch (error) {
    await store.close()
    throw error
  }
}

interface Parts {
  readonly folder: string
  readonly config: GatewayConfig
  readonly keys: GatewayKeys
  readonly address: Address
  readonly logger: Logger
  readonly store: Store
  readonly clock: Clock
}

async function serve({ folder, config, keys, address, logger, store, clock }: Parts): Promise<RunningGateway> {
  const { db } = store
  const { limits } = config
  const log = await TransparencyLog.open(db, await checkpointSigner(keys.log), clock, logHeadPath(folder, config))
  const witnessing = await openWitnessing(folder, config, log, clock, logger)
  const witnessed = witnessing.log
  const collateral = await gatewayCollateral(folder, config, clock, logger)
  const appraiser = new Appraiser(clock, collateral.source, config.simulatedRoots.map(fromBase64Url))
  const registry = new HostRegistry()
  const gateway = `sealgate-gateway/${packageVersion()}`
  const receiptKeys = { signing: keys.signing, mlDsa: keys.mlDsa === null ? null : await gatewayMlDsaSigner(keys.mlDsa) }
  const events = new Events(db, log, witnessed, receiptKeys, gateway)
  const grants = new Grants(db, events, clock)
  const parties = new Parties(db, clock)
  const holds = new Holds(db, grants, events, clock)
  const endings = new Endings(log, witnessed, receiptKeys, clock, gateway)
  const access = new BlobAccess(db, grants, clock)
  const uploads = new Uploads(store, clock, limits, access.mayBringResult)
  const jobs = new Jobs({ db, grants, holds, log, witnessed, hosts: registry, appraiser, endings, events, uploads, clock, limits, logger })
  await uploads.sweep()

  const ofHosts = { allowUnknown: config.allowUnknown, sevSnp: {}, tdx: {}, sgx: {}, nvidia: {}, ...config.hostRequirements }
  const onboarding = {
    db,
    events,
    appraiser,
    clock,
    ofHosts,
    attestationSeconds: limits.attestationSeconds,
  }
  const grpc = createGrpcServer()
  const calls = new Calls(logger)
  addService(grpc, AttestationService, attestationService(appraiser, ofHosts), calls)
  addService(grpc, DatasetService, datasetService({ db, uploads, access, erasures: jobs.erasures }), calls)
  addService(grpc, GrantService, grantService({ grants, holds, revocations: jobs.revocations, parties }), calls)
  addService(grpc, HostService, hostService({ db, registry, jobs, onboarding, clock, limits, logger }), calls)
  addService(grpc, JobService, jobService(db, jobs, parties), calls)
  addService(grpc, ReleaseService, releaseService(db, grants, jobs, parties), calls)
  addService(grpc, LogService, logService(log, witnessed), calls)
  addService(grpc, ReceiptService, receiptService({ db, grants, log: witnessed, events }), calls)
  const health = addHealth(grpc)

  await jobs.resume()
  const bytes = byteHandler({ uploads, folder: store.blobs, readable: (caller, blobId) => access.readable(caller, blobId), logger })
  const { connections, connectionsPerIdentity } = limits
  const { upgrade } = new Relay({ db, hosts: registry, clock, logger })
  let listener: Listener
  let publicLog: PublicListener | null = null
  try {
    const shown: PublicLog = { checkpoint: () => witnessed.newest(), tile: (tile) => log.tile(tile) }
    publicLog = await openPublicLog(shown, config, keys, logger)
    listener = await listen(grpc, bytes, { identity: keys.tls, address, connections, connectionsPerIdentity, logger, upgrade })
  } catch (error) {
    await publicLog?.close()
    await witnessing.close()
    await jobs.close()
    await log.close()
    throw error
  }
  const bound = formatAddress(listener.address)
  const { name, simulatedRoots } = config
  const facts = { name, address: bound, log: log.origin, mlDsa: receiptKeys.mlDsa !== null, simulatedRoots: simulatedRoots.length }
  logger.info(facts, 'gateway is listening')
  return {
    name: config.name,
    address: bound,
    logKey: log.verifierKey,
    publicLog: publicLog === null ? null : `${config.log.publicTls ? 'https' : 'http'}://${formatAddress(publicLog.address)}`,
    async close() {
      health.setStatus('', 'NOT_SERVING')
      calls.stop()
      await publicLog?.close()
      await witnessing.close()
      await listener.close()
      await calls.idle()
      await uploads.close()
      await jobs.close()
      await collateral.close()
      await log.close()
      await store.close()
      logger.info('gateway has stopped')
    },
  }
}

async function openPublicLog(
  log: PublicLog,
  { log: { publicListen, publicTls, publicConnections: connections } }: GatewayConfig,
  keys: GatewayKeys,
  logger: Logger,
): Promise<PublicListener | null> {
  if (publicListen === undefined) return null
  return servePublicLog(log, { address: parseAddress(publicListen), tls: publicTls ? keys.tls : null, connections, logger })
}

function addHealth(grpc: Server): HealthImplementation {
  const health = new HealthImplementation({ '': 'SERVING' })
  health.addToServer(grpc)
  return health
}

/** The same two folders up from `src/gateway` and `dist/gateway`. */
function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
  return version
}
