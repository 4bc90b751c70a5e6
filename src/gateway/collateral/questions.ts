import type { Tee } from '../../verify/evidence/dcap/layout.ts'
import type { AmdProduct } from '../../verify/trust/amd.ts'

/** Which of AMD's signing keys an authority certifies. */
export type VekSigner = 'vcek' | 'vlek'
/** Which of Intel's intermediates issued a PCK certificate. */
export type PckCa = 'processor' | 'platform'
/** Intel publishes new TCB info early, months before it becomes the standard one. */
export type Update = 'early' | 'standard'

/** What a PCK certificate is looked up by. Hexadecimal, lower case, in the byte order of the quote. */
export interface PckLookup {
  readonly qeId: string
  readonly cpuSvn: string
  readonly pceSvn: string
  readonly pceId: string
  /** SHA-256 of the encrypted PPID: Intel's service looks at nothing else, and no host may ask in the name of another. */
  readonly ppidDigest: string
}

/** One thing that a vendor can be asked for. */
export type Question =
  | { readonly kind: 'vcek'; readonly product: AmdProduct; readonly hwId: string; readonly tcb: string }
  | { readonly kind: 'amd-chain'; readonly signer: VekSigner; readonly product: AmdProduct }
  | { readonly kind: 'amd-crl'; readonly signer: VekSigner; readonly product: AmdProduct }
  /** `encryptedPpid` is too long for a name, which holds its digest. */
  | ({ readonly kind: 'pck'; readonly encryptedPpid: string } & PckLookup)
  | { readonly kind: 'pck-crl'; readonly ca: PckCa }
  | { readonly kind: 'root-crl' }
  | { readonly kind: 'tcb-info'; readonly tee: Tee; readonly fmspc: string; readonly update: Update }
  | { readonly kind: 'qe-identity'; readonly tee: Tee; readonly update: Update }

/** The name under which an answer is kept: says what it is, to people too. */
export function nameOf(question: Question): string {
  switch (question.kind) {
    case 'vcek':
      return `amd/vcek/${question.product}/${question.hwId}/${question.tcb}`
    case 'amd-chain':
      return `amd/chain/${question.signer}/${question.product}`
    case 'amd-crl':
      return `amd/crl/${question.signer}/${question.product}`
    case 'pck':
      return `intel/pck/${question.qeId}/${question.cpuSvn}/${question.pceSvn}/${question.pceId}/${question.ppidDigest}`
    case 'pck-crl':
      return `intel/pck-crl/${question.ca}`
    case 'root-crl':
      return 'intel/root-crl'
    case 'tcb-info':
      return `intel/tcb/${question.tee}/${question.fmspc}/${question.update}`
    case 'qe-identity':
      return `intel/qe-identity/${question.tee}/${question.update}`
  }
}

const PRODUCT = '(Milan|Genoa|Turin)'
const SIGNER = '(vcek|vlek)'
const UPDATE = '(early|standard)'

const FORMS: readonly (readonly [RegExp, (parts: readonly string[]) => Question])[] = [
  [
    new RegExp(`^amd/vcek/${PRODUCT}/((?:[0-9a-f]{16}){1,8})/([0-9a-f]{16})$`),
    ([product, hwId = '', tcb = '']) => ({ kind: 'vcek', product: product as AmdProduct, hwId, tcb }),
  ],
  [
    new RegExp(`^amd/chain/${SIGNER}/${PRODUCT}$`),
    ([signer, product]) => ({ kind: 'amd-chain', signer: signer as VekSigner, product: product as AmdProduct }),
  ],
  [
    new RegExp(`^amd/crl/${SIGNER}/${PRODUCT}$`),
    ([signer, product]) => ({ kind: 'amd-crl', signer: signer as VekSigner, product: product as AmdProduct }),
  ],
  [
    /^intel\/pck\/([0-9a-f]{32})\/([0-9a-f]{32})\/([0-9a-f]{4})\/([0-9a-f]{4})\/([0-9a-f]{64})$/,
    ([qeId = '', cpuSvn = '', pceSvn = '', pceId = '', ppidDigest = '']) => {
      return { kind: 'pck', encryptedPpid: '', qeId, cpuSvn, pceSvn, pceId, ppidDigest }
    },
  ],
  [/^intel\/pck-crl\/(processor|platform)$/, ([ca]) => ({ kind: 'pck-crl', ca: ca as PckCa })],
  [/^intel\/root-crl$/, () => ({ kind: 'root-crl' })],
  [
    new RegExp(`^intel/tcb/(sgx|tdx)/([0-9a-f]{12})/${UPDATE}$`),
    ([tee, fmspc = '', update]) => ({ kind: 'tcb-info', tee: tee as Tee, fmspc, update: update as Update }),
  ],
  [
    new RegExp(`^intel/qe-identity/(sgx|tdx)/${UPDATE}$`),
    ([tee, update]) => ({ kind: 'qe-identity', tee: tee as Tee, update: update as Update }),
  ],
]

/** The question of a name; null for a text that is no such name. That of a PCK certificate lacks its encrypted PPID. */
export function questionOf(name: string): Question | null {
  for (const [form, make] of FORMS) {
    const match = form.exec(name)
    if (match !== null) return make(match.slice(1))
  }
  return null
}

export function isEarly(name: string): boolean {
  return name.endsWith('/early')
}
