import { compare, toHex } from '../../bytes/bytes.ts'
import type { JsonValue } from './json.ts'
import { JsonFields } from './json-fields.ts'
import { COMPONENTS, type Tee } from './layout.ts'

/** A level that goes by one security version: of a quoting enclave or of a TDX module. */
export interface SvnLevel {
  readonly isvSvn: number
  /** Intel's word, as written. */
  readonly status: string
  /** Milliseconds since 1970. */
  readonly date: number
  readonly advisoryIds: readonly string[]
}

/** A level of a platform: what it takes to be on it, and what that is worth. */
export interface TcbLevel {
  /** 16 component SVNs. */
  readonly sgx: Uint8Array
  readonly pceSvn: number
  /** 16 component SVNs; TDX only. */
  readonly tdx: Uint8Array | null
  readonly status: string
  readonly date: number
  readonly advisoryIds: readonly string[]
}

/** Who may have made a TDX module. */
export interface TdxModule {
  readonly mrSigner: Uint8Array
  readonly attributes: Uint8Array
  readonly attributesMask: Uint8Array
}

export interface TdxModuleIdentity extends TdxModule {
  /** `TDX_` and the module's version in hexadecimal, upper case. */
  readonly id: string
  /** Highest first. */
  readonly tcbLevels: readonly SvnLevel[]
}

/** Intel's word on the TCB levels of one platform model, read but not verified. */
export interface TcbInfo {
  readonly tee: Tee
  readonly version: 2 | 3
  /** Milliseconds since 1970. */
  readonly issueDate: number
  readonly nextUpdate: number
  /** Hexadecimal, lower case. */
  readonly fmspc: string
  readonly pceId: string
  readonly tcbEvaluationDataNumber: number
  readonly tdxModule: TdxModule | null
  readonly tdxModuleIdentities: readonly TdxModuleIdentity[]
  /** Highest first; never empty. */
  readonly tcbLevels: readonly TcbLevel[]
}

const MAX_SVN = 0xffff
const MAX_NUMBER = 0x7fffffff

/**
 * Reads the object that Intel signs: version 2 (SGX) or 3 (SGX, TDX).
 * @throws AttestError `DOCUMENT_INVALID`, naming the member.
 * @see Intel PCS API v4, "Get TCB Info"; QVL TcbInfo.cpp, TcbLevel.cpp, TdxModule*.cpp.
 */
export function parseTcbInfo(value: JsonValue, at: string): TcbInfo {
  const json = new JsonFields(value, at)
  const version = json.count('version', MAX_NUMBER)
  if (version !== 2 && version !== 3) throw json.invalid(`TCB info version ${version}, want 2 or 3`)
  const tee = version === 2 ? 'sgx' : teeOf(json)
  // QVL section 4.1.2.7.4: any other type has components of another meaning.
  if (json.count('tcbType', MAX_NUMBER) !== 0) throw json.invalid('tcbType is not 0')
  if (tee === 'sgx' && (json.has('tdxModule') || json.has('tdxModuleIdentities'))) throw json.invalid('TDX module in TCB info of SGX')
  const tcbLevels = json.list('tcbLevels').map((level) => parseLevel(level, version, tee))
  return {
    tee,
    version,
    issueDate: json.time('issueDate'),
    nextUpdate: json.time('nextUpdate'),
    fmspc: toHex(json.hex('fmspc', 6)),
    pceId: toHex(json.hex('pceId', 2)),
    tcbEvaluationDataNumber: json.count('tcbEvaluationDataNumber', MAX_NUMBER),
    tdxModule: tee === 'tdx' ? parseModule(json.fields('tdxModule')) : null,
    tdxModuleIdentities: json.has('tdxModuleIdentities') ? parseModuleIdentities(json) : [],
    tcbLevels: descending(json, tcbLevels, compareLevels),
  }
}

function teeOf(json: JsonFields): Tee {
  const id = json.text('id')
  if (id !== 'SGX' && id !== 'TDX') throw json.invalid(`id is ${id}, want SGX or TDX`)
  return id === 'SGX' ? 'sgx' : 'tdx'
}

function parseLevel(json: JsonFields, version: 2 | 3, tee: Tee): TcbLevel {
  const tcb = json.fields('tcb')
  return {
    sgx: version === 2 ? namedComponents(tcb) : listedComponents(tcb, 'sgxtcbcomponents'),
    pceSvn: tcb.count('pcesvn', MAX_SVN),
    tdx: tee === 'tdx' ? listedComponents(tcb, 'tdxtcbcomponents') : null,
    ...parseStanding(json),
  }
}

function parseStanding(json: JsonFields): Pick<TcbLevel, 'status' | 'date' | 'advisoryIds'> {
  return { status: json.text('tcbStatus'), date: json.time('tcbDate'), advisoryIds: json.texts('advisoryIDs') }
}

/** Version 2 spells the components out: `sgxtcbcomp01svn` to `sgxtcbcomp16svn`. */
function namedComponents(tcb: JsonFields): Uint8Array {
  return Uint8Array.from({ length: COMPONENTS }, (_, i) => tcb.count(`sgxtcbcomp${String(i + 1).padStart(2, '0')}svn`, 255))
}

function listedComponents(tcb: JsonFields, name: string): Uint8Array {
  const list = tcb.list(name)
  if (list.length !== COMPONENTS) throw tcb.invalid(`${name} has ${list.length} entries, want ${COMPONENTS}`)
  return Uint8Array.from(list, (component) => component.count('svn', 255))
}

function parseModule(json: JsonFields): TdxModule {
  return { mrSigner: json.hex('mrsigner', 48), attributes: json.hex('attributes', 8), attributesMask: json.hex('attributesMask', 8) }
}

function parseModuleIdentities(json: JsonFields): readonly TdxModuleIdentity[] {
  const identities = json.list('tdxModuleIdentities').map(parseModuleIdentity)
  if (new Set(identities.map((i) => i.id)).size !== identities.length) throw json.invalid('two TDX module identities of one id')
  return identities
}

function parseModuleIdentity(json: JsonFields): TdxModuleIdentity {
  return { id: json.text('id').toUpperCase(), ...parseModule(json), tcbLevels: parseSvnLevels(json) }
}

/** `tcbLevels` of a TDX module or a quoting enclave, highest first. */
export function parseSvnLevels(json: JsonFields): readonly SvnLevel[] {
  const levels = json.list('tcbLevels').map((level) => ({
    isvSvn: level.fields('tcb').count('isvsvn', MAX_SVN),
    ...parseStanding(level),
  }))
  return descending(json, levels, (a, b) => a.isvSvn - b.isvSvn)
}

/** Matching takes the first level that fits, so the order is ours to make (QVL keeps levels in a std::set, greatest first). */
function descending<T>(json: JsonFields, levels: T[], order: (a: T, b: T) => number): readonly T[] {
  if (levels.length === 0) throw json.invalid('tcbLevels is empty')
  levels.sort((a, b) => order(b, a))
  if (levels.some((level, i) => i > 0 && order(level, levels[i - 1] as T) === 0)) throw json.invalid('two equal TCB levels')
  return levels
}

/** QVL TcbLevel.cpp `operator>`: SGX components, then PCESVN, then TDX components. */
function compareLevels(a: TcbLevel, b: TcbLevel): number {
  return compare(a.sgx, b.sgx) || a.pceSvn - b.pceSvn || (a.tdx === null || b.tdx === null ? 0 : compare(a.tdx, b.tdx))
}
