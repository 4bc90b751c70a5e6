/** Where @phala/dcap-qvl 0.3.9 answers otherwise: first words of both answers, and why ours is Intel's. */
export interface Difference {
  readonly ours: string
  readonly peer: string
  readonly reason: string
}

const moduleBytes =
  'The peer compares all 16 bytes of TEE_TCB_SVN. With a TDX module of version 1 or more the first two are the module’s own and go by ' +
  'its identity (QVL TcbLevelCheck.cpp, 4.1.2.5.2.1).'
const moduleAdvisories =
  'The peer has no TDX module identity: advisories of the matched module level (QVL EvaluateTcb.cpp, TdxModuleCheck.cpp) are missing from its list.'
const serviceTd =
  'The peer refuses every bound service TD. Intel’s verification leaves MRSERVICETD to the relying party: here it is the requirement noServiceTd.'
const septVe =
  'The peer refuses without SEPT_VE_DISABLE. Intel’s verification leaves TDATTRIBUTES to the relying party: here it is the requirement septVeDisable.'
const versionTwo = 'The peer cannot read TCB info of version 2; QVL TcbInfo.cpp reads it for SGX.'

export const DIFFERENCES: Readonly<Record<string, Difference>> = {
  'tdx-v4-go-tdx-guest-2-uptodate': { ours: 'UpToDate', peer: 'OutOfDate', reason: moduleBytes },
  'tdx-v4-go-tdx-guest-2-outofdate': { ours: 'OutOfDate', peer: 'OutOfDate', reason: `${moduleBytes} It lands on a lower level.` },
  'tdx-v5-openenclave-2-outofdate': { ours: 'OutOfDate', peer: 'refused', reason: `${moduleBytes} It finds no level at all.` },
  'tdx-v4-attested-tls-3-outofdate': { ours: 'OutOfDate', peer: 'OutOfDate', reason: moduleAdvisories },
  'tdx-v4-openpcc-1-outofdate': { ours: 'OutOfDate', peer: 'OutOfDate', reason: moduleAdvisories },
  'tdx-v5-automata-dcap-attestation-1-uptodate': { ours: 'UpToDate', peer: 'refused', reason: serviceTd },
  'tdx-v5-automata-dcap-attestation-1-outofdate': { ours: 'OutOfDate', peer: 'refused', reason: serviceTd },
  'tdx-v4-openenclave-1-uptodate': { ours: 'UpToDate', peer: 'refused', reason: septVe },
  'tdx-v4-openenclave-1-outofdate': { ours: 'OutOfDate', peer: 'refused', reason: septVe },
  'sgx-v3-dcap-qvl-1-outofdateconfigurationneeded': { ours: 'OutOfDateConfigurationNeeded', peer: 'refused', reason: versionTwo },
  'sgx-v3-libsignal-5-uptodate': { ours: 'UpToDate', peer: 'refused', reason: versionTwo },
}
