/**
 * Sizes and numbers of Intel's DCAP quotes. Sources: Intel SGX ECDSA QuoteLibReference (quote v3), Intel TDX DCAP
 * Quoting Library API (quote v4, v5), and the structures of Intel's Quote Verification Library (QVL),
 * QuoteVerification/QuoteConstants.h and QuoteStructures.h.
 */
export type Tee = 'sgx' | 'tdx'

/** TEE type in the header of a v4 or v5 quote; those four bytes are zero in v3. */
export const TEE_TYPE = { sgx: 0x00, tdx: 0x81 } as const

export const QUOTE_VERSIONS: readonly number[] = [3, 4, 5]
export const HEADER_SIZE = 48
export const ENCLAVE_REPORT_SIZE = 384
export const TD_REPORT_10_SIZE = 584
export const TD_REPORT_15_SIZE = 648

/** v5 body types. */
export const BODY_TYPE = { sgx: 1, td10: 2, td15: 3 } as const

/** ECDSA with P-256 and SHA-256: the only attestation key that Intel's QE makes. Type 3 (P-384) is defined, never issued. */
export const ECDSA_P256 = 2

export const SIGNATURE_SIZE = 64
export const KEY_SIZE = 64

/** 939a7233-f79c-4ca9-940a-0db3957f0607: Intel's quoting enclave. */
export const INTEL_QE_VENDOR = '939a7233f79c4ca9940a0db3957f0607'

/** Certification data types. */
export const CERTIFICATION = {
  ppidPlain: 1,
  ppidRsa2048: 2,
  ppidRsa3072: 3,
  pckLeaf: 4,
  pckChain: 5,
  qeReport: 6,
} as const

/** Largest input, padding included. Genuine quotes have 1.4 to 5 KB; the largest buffers seen have 8,000 bytes. */
export const MAX_QUOTE_SIZE: number = 16 * 1024

/** Number of TCB components of a platform and of a TDX TCB. */
export const COMPONENTS = 16
