import type { QeIdentity } from './qe-identity.ts'
import type { SvnLevel, TcbInfo, TcbLevel } from './tcb-info.ts'
import { findModule, type PlatformSvns } from './tcb-status.ts'

/**
 * What keeps a platform off the lowest level that is up to date, in words: `SGX component 8 is 5, needs 6`. For some models none
 * is (all need hardening or configuration): then off the lowest that is not out of date. Empty when every part reaches it.
 */
export function explainTcb(svns: PlatformSvns, info: TcbInfo, identity: QeIdentity): readonly string[] {
  const level = lowest(info.tcbLevels)
  return [...(level === null ? [] : explainPlatform(svns, level)), ...explainModule(svns, info), ...explainQe(svns, identity)]
}

function explainPlatform({ sgx, pceSvn, teeTcbSvn }: PlatformSvns, level: TcbLevel): readonly string[] {
  const ownLevels = (teeTcbSvn?.[1] ?? 0) > 0 ? 2 : 0
  const tdx = teeTcbSvn === null || level.tdx === null ? [] : lacking('TDX component', teeTcbSvn, level.tdx, ownLevels)
  const pce = pceSvn < level.pceSvn ? [`PCESVN is ${pceSvn}, needs ${level.pceSvn}`] : []
  return [...lacking('SGX component', sgx, level.sgx, 0), ...pce, ...tdx]
}

/** Components are counted from 1, as in the PCK certificate. */
function lacking(name: string, have: Uint8Array, need: Uint8Array, from: number): readonly string[] {
  return [...need.entries()]
    .filter(([i, svn]) => i >= from && (have[i] ?? 0) < svn)
    .map(([i, svn]) => `${name} ${i + 1} is ${have[i] ?? 0}, needs ${svn}`)
}

function explainModule({ teeTcbSvn }: PlatformSvns, info: TcbInfo): readonly string[] {
  const version = teeTcbSvn?.[1] ?? 0
  if (teeTcbSvn === null || version === 0) return []
  const module = findModule(info, version)
  return module === null ? [`no TDX module of version ${version}`] : explainSvn('TDX module ISVSVN', teeTcbSvn[0] ?? 0, module.tcbLevels)
}

function explainQe({ qeIsvSvn }: PlatformSvns, { tcbLevels }: QeIdentity): readonly string[] {
  return explainSvn('QE ISVSVN', qeIsvSvn, tcbLevels)
}

function explainSvn(name: string, have: number, levels: readonly SvnLevel[]): readonly string[] {
  const level = lowest(levels)
  return level === null || have >= level.isvSvn ? [] : [`${name} is ${have}, needs ${level.isvSvn}`]
}

/** Levels come highest first. */
function lowest<T extends { readonly status: string }>(levels: readonly T[]): T | null {
  const best = levels.findLast((level) => level.status === 'UpToDate')
  return best ?? levels.findLast((level) => !/^(?:OutOfDate|Revoked)/.test(level.status)) ?? null
}
