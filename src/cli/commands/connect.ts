import type { Command } from 'commander'
import { AttestError } from '../../verify/errors.ts'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { EXIT_OK } from '../exit-codes.ts'
import { folderOption, parseDuration } from '../options.ts'
import type { Output } from '../output.ts'

interface ConnectOptions {
  readonly folder: string
  readonly listen: string
  readonly dangerouslyListenAnywhere: boolean
  readonly renew: number
  readonly record?: string
  readonly serviceFile?: string
  readonly clientCert?: string
  readonly clientKey?: string
}

export function register(program: Command): void {
  program
    .command('connect')
    .description('open a local endpoint of a service: verifies its enclave first, and again at intervals; runs until it is stopped')
    .argument('<job>', 'id of the job')
    .option('--listen <address>', 'where programs on this machine find it', '127.0.0.1:8080')
    .option('--dangerously-listen-anywhere', 'also on addresses that others reach: they then use the service as you', false)
    .option('--renew <duration>', 'how often the enclave proves itself anew', parseDuration, 600)
    .option('--record <file>', 'keep what the enclave signs of this session (opens its commitments: private)')
    .option('--service-file <file>', 'what to verify the service by, from who started it (default: what run --service left in the folder)')
    .option('--client-cert <file>', 'certificate of the client key, PEM (default: that of the folder)')
    .option('--client-key <file>', 'TLS key that the contract lists, PEM (default: that of the folder)')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate connect <job> --listen 127.0.0.1:8080 --folder alice'))
    .action(action<ConnectOptions, [string]>(connect))
}

async function connect({ output, signal }: Context, options: ConnectOptions, jobId: string): Promise<number> {
  const { Client, connectService, FILES, loadTrustFile, MAX_SERVICE_FILE_SIZE, parseServiceFile, readBytes } = await import(
    '../../client/index.ts'
  )
  const { parseAddress } = await import('../../rpc/index.ts')
  const listen = parseAddress(options.listen)
  if (!/^[A-Za-z0-9_-]{22}$/.test(jobId)) throw new AttestError('USAGE', `"${jobId.slice(0, 40)}" is not a job id`)
  const path = options.serviceFile ?? `${options.folder}/${FILES.services}/${jobId}.json`
  const service = await parseServiceFile(await readBytes(path, MAX_SERVICE_FILE_SIZE))
  if (service.contract.jobId !== jobId) throw new AttestError('USAGE', `${path} is of job ${service.contract.jobId}`)
  const trust = await loadTrustFile(`${options.folder}/${FILES.trust}`)
  const { key, digest } = await clientKey(options)
  const client = await Client.connect(options.folder)
  try {
    const { reason, session } = await connectService({
      service,
      trust,
      evidence: () => client.jobEvidence(jobId, { signal }),
      open: (until) => client.openService(jobId, until),
      key,
      keyDigest: digest,
      listen,
      dangerouslyListenAnywhere: options.dangerouslyListenAnywhere,
      renewMs: options.renew * 1000,
      ended: jobEnd(client, jobId, signal),
      signal,
      now: () => new Date(),
      onEvent: showConnectEvent(output, jobId, options.record),
    })
    await keepRecord(session, options.record)
    output.line(`Endpoint closed: ${reason}.`)
    return EXIT_OK
  } finally {
    client.close()
  }
}

type Events = NonNullable<Parameters<typeof import('../../client/index.ts').connectService>[0]['onEvent']>

function showConnectEvent(output: Output, jobId: string, record: string | undefined): Events {
  return (event) => {
    switch (event.kind) {
      case 'listening': {
        const { host, port } = event.address
        const { simulated, measurement, checks } = event.enclave
        const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
        if (simulated) output.line(output.paint.warn('The evidence is SIMULATED: it proves nothing about hardware.'))
        output.answer({ jobId, url, simulated, measurement }, [
          `Enclave verified here: ${checks.length} checks, measurement ${measurement ?? 'none'}.`,
          `Listening on ${url}  (OPENAI_BASE_URL=${url}/v1)`,
        ])
        break
      }
      case 'renewed':
        output.line('The enclave has proven itself anew.')
        break
      case 'session':
        // A file that cannot be written now is tried again; the last time its failure ends the command.
        void keepRecord(event.file, record).catch(() => undefined)
        break
    }
  }
}

async function keepRecord(file: Uint8Array | null, path: string | undefined): Promise<void> {
  const { PRIVATE, replaceFile } = await import('../../client/index.ts')
  if (file !== null && path !== undefined) await replaceFile(path, file, PRIVATE)
}

/** Resolves when the gateway says that the job is over; never rejects: a gateway that cannot be asked ends nothing by itself. */
async function jobEnd(
  client: InstanceType<typeof import('../../client/index.ts').Client>,
  jobId: string,
  signal: AbortSignal,
): Promise<string> {
  const { isFinal } = await import('../../client/index.ts')
  try {
    for await (const { state, transitions } of client.watchJob(jobId, { signal })) {
      if (isFinal(state)) return `the job has ended (${state}): ${transitions.at(-1)?.reason ?? ''}`
    }
  } catch {
    // Clients that only use a service may not watch its job.
  }
  return new Promise(() => undefined)
}

async function clientKey({ folder, clientCert, clientKey: keyPath }: ConnectOptions) {
  const { FILES, MAX_FILE_SIZE, readBytes } = await import('../../client/index.ts')
  const { tlsKeyDigest } = await import('../tls-key.ts')
  if ((clientCert === undefined) !== (keyPath === undefined))
    throw new AttestError('USAGE', 'want both --client-cert and --client-key, or neither')
  const text = async (path: string): Promise<string> => new TextDecoder().decode(await readBytes(path, MAX_FILE_SIZE))
  const cert = await text(clientCert ?? `${folder}/${FILES.cert}`)
  const key = await text(keyPath ?? `${folder}/${FILES.key}`)
  return { key: { cert, key }, digest: tlsKeyDigest(cert) }
}
