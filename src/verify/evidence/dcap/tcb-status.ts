import type { QeIdentity } from './qe-identity.ts'
import type { SvnLevel, TcbInfo, TcbLevel, TdxModuleIdentity } from './tcb-info.ts'

/** The words of Intel's TCB status, those of QVL for a TD that outlived an update, and the two ways of having none. */
export type TcbStatus =
  | 'UpToDate'
  | 'SWHardeningNeeded'
  | 'ConfigurationNeeded'
  | 'ConfigurationAndSWHardeningNeeded'
  | 'OutOfDate'
  | 'OutOfDateConfigurationNeeded'
  | 'TDRelaunchAdvised'
  | 'TDRelaunchAdvisedConfigurationNeeded'
  | 'Revoked'
  /** No level fits. */
  | 'NotSupported'
  /** A word that Intel does not use here. Never accepted. */
  | 'Unrecognized'

/** What the platform brings: SVNs of the PCK certificate, of the QE report and, for TDX, of the TD report. */
export interface PlatformSvns {
  /** 16 components and PCESVN, from the PCK certificate (not CPUSVN of any report). */
  readonly sgx: Uint8Array
  readonly pceSvn: number
  readonly qeIsvSvn: number
  /** TEE_TCB_SVN: as the TD was launched. Null for SGX. */
  readonly teeTcbSvn: Uint8Array | null
  /** TEE_TCB_SVN2: as the platform is now. Null before TDX 1.5 and for SGX. */
  readonly teeTcbSvn2: Uint8Array | null
}

/** The levels that were matched and what they make together. */
export interface TcbEvaluation {
  readonly status: TcbStatus
  /** Null: no level fits. */
  readonly platform: TcbLevel | null
  readonly qe: SvnLevel | null
  /** Null: no level fits, or the module goes by the platform's level alone (version 0, SGX). */
  readonly module: SvnLevel | null
  readonly moduleVersion: number
  /** Status with TEE_TCB_SVN2 in place of TEE_TCB_SVN. Null where there is none. */
  readonly current: TcbStatus | null
}

/** Lowest of the matched levels' dates, milliseconds since 1970. Null unless every part is on a level. */
export function tcbDateOf(evaluation: TcbEvaluation): number | null {
  const { platform, qe, module, moduleVersion } = evaluation
  const isComplete = platform !== null && qe !== null && (moduleVersion === 0 || module !== null)
  return isComplete ? Math.min(...matchedLevels(evaluation).map((level) => level.date)) : null
}

/** Advisories of all matched levels, sorted. */
export function advisoriesOf(evaluation: TcbEvaluation): readonly string[] {
  return [...new Set(matchedLevels(evaluation).flatMap((level) => level.advisoryIds))].sort()
}

function matchedLevels({ platform, qe, module }: TcbEvaluation): readonly Pick<SvnLevel, 'date' | 'advisoryIds'>[] {
  return [platform, qe, module].filter((level) => level !== null)
}

const PLATFORM_WORDS: readonly string[] = [
  'UpToDate',
  'SWHardeningNeeded',
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
  'OutOfDate',
  'OutOfDateConfigurationNeeded',
  'Revoked',
]
const MODULE_WORDS: readonly string[] = ['UpToDate', 'OutOfDate', 'Revoked']
/** QVL TcbStatus.h reads these in an enclave identity; EnclaveReportVerifier.cpp takes all but the first and last for out of date. */
const QE_WORDS: readonly string[] = ['UpToDate', 'OutOfDate', 'ConfigurationNeeded', 'OutOfDateConfigurationNeeded', 'Revoked']

const SOUND: readonly TcbStatus[] = ['UpToDate', 'SWHardeningNeeded', 'ConfigurationNeeded', 'ConfigurationAndSWHardeningNeeded']
const CONFIGURATION: readonly TcbStatus[] = ['ConfigurationNeeded', 'ConfigurationAndSWHardeningNeeded', 'OutOfDateConfigurationNeeded']

/**
 * Intel's TCB evaluation.
 * @see QVL Checks/EvaluateTcb.cpp `sgxEvaluateTCB` (4.1.2.5.1) and `tdxEvaluateTCB` (4.1.2.5.2), Checks/TcbLevelCheck.cpp
 *   `checkTcbLevel` (4.1.2.5.18-20), Checks/TDRelaunchCheck.cpp `checkForRelaunch`.
 */
export function evaluateTcb(svns: PlatformSvns, info: TcbInfo, identity: QeIdentity): TcbEvaluation {
  const launch = evaluateOnce(svns, svns.teeTcbSvn, info, identity)
  if (svns.teeTcbSvn2 === null) return launch
  const current = evaluateOnce(svns, svns.teeTcbSvn2, info, identity).status
  return { ...launch, status: withRelaunch(launch.status, current), current }
}

function evaluateOnce(svns: PlatformSvns, tee: Uint8Array | null, info: TcbInfo, identity: QeIdentity): TcbEvaluation {
  const platform = matchPlatform(svns, tee, info)
  const qe = matchSvn(identity.tcbLevels, svns.qeIsvSvn)
  const moduleVersion = tee?.[1] ?? 0
  const module = tee === null || moduleVersion === 0 ? null : matchSvn(findModule(info, moduleVersion)?.tcbLevels ?? [], tee[0] ?? 0)
  const isComplete = platform !== null && qe !== null && (moduleVersion === 0 || module !== null)
  const status = isComplete ? converge(platform.status, qe.status, module?.status) : 'NotSupported'
  return { status, platform, qe, module, moduleVersion, current: null }
}

/** First level that the platform reaches in every component (4.1.2.5.1.1, 4.1.2.5.2.1). */
function matchPlatform({ sgx, pceSvn }: PlatformSvns, tee: Uint8Array | null, { tcbLevels }: TcbInfo): TcbLevel | null {
  // With a module of version 1 or more, the first two bytes are the module's own and go by its identity.
  const from = (tee?.[1] ?? 0) > 0 ? 2 : 0
  const fits = (level: TcbLevel): boolean =>
    reaches(sgx, level.sgx, 0) && pceSvn >= level.pceSvn && (tee === null || (level.tdx !== null && reaches(tee, level.tdx, from)))
  return tcbLevels.find(fits) ?? null
}

function reaches(have: Uint8Array, need: Uint8Array, from: number): boolean {
  for (let i = from; i < need.length; i++) if ((have[i] ?? 0) < (need[i] ?? 0)) return false
  return true
}

function matchSvn(levels: readonly SvnLevel[], isvSvn: number): SvnLevel | null {
  return levels.find((level) => isvSvn >= level.isvSvn) ?? null
}

/** QVL TdxModuleCheck.cpp `findTdxModuleIdentity`: `TDX_` and the version as two hexadecimal digits. */
export function findModule(info: TcbInfo, version: number): TdxModuleIdentity | null {
  const id = `TDX_${version.toString(16).padStart(2, '0').toUpperCase()}`
  return info.tdxModuleIdentities.find((m) => m.id === id) ?? null
}

/** QVL EvaluateTcb.cpp `convergeTcbStatuses` (4.1.2.5.1.3). */
function converge(platform: string, qe: string, module = 'UpToDate'): TcbStatus {
  if (!PLATFORM_WORDS.includes(platform) || !QE_WORDS.includes(qe) || !MODULE_WORDS.includes(module)) return 'Unrecognized'
  const status = platform as TcbStatus
  if (qe === 'Revoked' || module === 'Revoked') return 'Revoked'
  if ((qe === 'UpToDate' && module === 'UpToDate') || !SOUND.includes(status)) return status
  return CONFIGURATION.includes(status) ? 'OutOfDateConfigurationNeeded' : 'OutOfDate'
}

/** The platform was updated under a running TD: launched on what is out of date now, on a sound level today. */
function withRelaunch(launch: TcbStatus, current: TcbStatus): TcbStatus {
  if (current === 'NotSupported' || current === 'Unrecognized') return current
  const stale = launch === 'OutOfDate' || launch === 'OutOfDateConfigurationNeeded'
  if (!stale || !SOUND.includes(current)) return launch
  const configuration = CONFIGURATION.includes(launch) || CONFIGURATION.includes(current)
  return configuration ? 'TDRelaunchAdvisedConfigurationNeeded' : 'TDRelaunchAdvised'
}
