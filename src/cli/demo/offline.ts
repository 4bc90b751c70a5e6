import type { ErrorCode } from '../../verify/errors.ts'
import { capture, type Processes } from './processes.ts'

export interface OfflineVerdict {
  readonly accepted: boolean
  readonly exitCode: number
  readonly checks: number
  readonly error: { readonly code: ErrorCode; readonly message: string } | null
  /** How the process was kept from the network, for people. */
  readonly confinement: string
}

interface VerdictJson {
  readonly decision: 'accept' | 'reject'
  readonly checks: readonly unknown[]
  readonly error?: OfflineVerdict['error']
}

/** An empty network namespace: not even loopback is up in it. Needs user namespaces, which some systems switch off. */
const NAMESPACE = ['unshare', '--user', '--map-root-user', '--net', '--']

/**
 * Verifies a receipt in a process of its own that has no network: in a network namespace with nothing in it where the system
 * allows that, and in any case under the command's own refusal of every socket.
 */
export async function verifyOffline(processes: Processes, receipt: string, trust: string): Promise<OfflineVerdict> {
  const namespaced = (await capture('unshare', [...NAMESPACE.slice(1), 'true'])).exitCode === 0
  const { exitCode, stdout, stderr } = await processes.run(
    ['receipt', 'verify', receipt, '--trust', trust, '--json'],
    namespaced ? NAMESPACE : [],
  )
  const confinement = namespaced ? 'an empty network namespace (unshare --net)' : 'a process that refuses every socket'
  const verdict = readVerdict(stdout)
  if (verdict === null) return { accepted: false, exitCode, checks: 0, error: { code: 'INTERNAL', message: stderr.trim() }, confinement }
  const accepted = verdict.decision === 'accept' && exitCode === 0
  return { accepted, exitCode, checks: verdict.checks.length, error: verdict.error ?? null, confinement }
}

function readVerdict(stdout: string): VerdictJson | null {
  try {
    return JSON.parse(stdout) as VerdictJson
  } catch {
    return null
  }
}
