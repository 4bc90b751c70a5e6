/**
 * Every way in which sealgate can fail, with the exit code of the command line (design section 8: 3 malformed,
 * 4 not authentic, 5 not allowed, 6 collateral missing or stale, 2 usage, 1 internal) and what a person can do.
 * A code is a public contract: adding one is a minor change, renaming one a major change.
 */
export const ERROR_CODES = {
  EVIDENCE_TRUNCATED: { exit: 3, fix: 'Send the whole structure; its exact size is in docs/formats.' },
  EVIDENCE_TRAILING: { exit: 3, fix: 'Remove the bytes after the end of the structure.' },
  EVIDENCE_RESERVED_NONZERO: { exit: 3, fix: 'Fetch the evidence again; reserved bytes of genuine evidence are zero.' },
  EVIDENCE_UNSUPPORTED: { exit: 3, fix: 'This version or algorithm is not supported; see docs/formats.' },
  EVIDENCE_UNRECOGNIZED: { exit: 3, fix: 'Name the format with --format.' },
  ENCODING_INVALID: { exit: 3, fix: 'Check the encoding: strict hex, base64 or base64url without line noise.' },
  DER_MALFORMED: { exit: 3, fix: 'The input is not strict DER; export the certificate or CRL again.' },
  CBOR_MALFORMED: { exit: 3, fix: 'The input is not CBOR as its format allows it; fetch the evidence again.' },
  CERTIFICATE_MALFORMED: { exit: 3, fix: 'The input is not a well-formed X.509 certificate or CRL.' },
  JSON_MALFORMED: { exit: 3, fix: 'The document is not JSON.' },
  JSON_NOT_CANONICAL: { exit: 3, fix: 'The document must be canonical JSON (RFC 8785), byte for byte.' },
  DOCUMENT_INVALID: { exit: 3, fix: 'A field is missing, unknown or out of range; see docs/formats.' },
  JWS_MALFORMED: { exit: 3, fix: 'The document is not a JWS of the expected type.' },
  NOTE_MALFORMED: { exit: 3, fix: 'The checkpoint is not a C2SP signed note.' },
  TILE_MALFORMED: { exit: 3, fix: 'The path or content is not a C2SP tile of this log; ask another copy of it.' },
  SIGNATURE_INVALID: { exit: 4, fix: 'The signature does not verify: do not trust this document.' },
  CHAIN_INVALID: { exit: 4, fix: 'The certificate does not lead to a trusted root.' },
  COLLATERAL_EXPIRED: { exit: 4, fix: 'A certificate is outside its validity; check --at and fetch collateral again.' },
  COLLATERAL_REVOKED: { exit: 4, fix: 'A certificate was revoked: do not trust this host.' },
  COLLATERAL_MISSING: { exit: 6, fix: 'Name the missing certificate or CRL with --collateral.' },
  HEADER_INVALID: { exit: 3, fix: 'The sealed file has no valid header; it may be damaged.' },
  SUITE_UNSUPPORTED: { exit: 3, fix: 'The cipher suite is not one that this version knows.' },
  KEY_COMMITMENT_MISMATCH: { exit: 4, fix: 'The key is not the one this file was sealed with.' },
  SEGMENT_INVALID: { exit: 4, fix: 'The ciphertext was changed; fetch the file again from its owner.' },
  STREAM_TRUNCATED: { exit: 3, fix: 'The ciphertext ends early or goes on too long; transfer it again.' },
  ROOT_MISMATCH: { exit: 4, fix: 'The stored ciphertext is not the one that was named; transfer it again.' },
  ARCHIVE_INVALID: { exit: 3, fix: 'The files of a dataset are not packed as docs/formats/dataset.md says; name or pack them otherwise.' },
  UNWRAP_FAILED: { exit: 4, fix: 'The key was sealed to someone else, or for another job, release or log entry.' },
  LOG_CHECKPOINT_INVALID: { exit: 4, fix: 'The checkpoint is not signed by the log that the policy names.' },
  LOG_PROOF_INVALID: { exit: 4, fix: 'The log does not hold this entry: nothing may be released.' },
  LOG_STALE: { exit: 5, fix: 'The checkpoint is older than the policy allows; check the gateway and its clock.' },
  LOG_CORRUPT: { exit: 1, fix: 'The stored log contradicts itself: restore the data folder; do not delete it.' },
  LOG_ROLLED_BACK: {
    exit: 1,
    fix: 'This is not the newest database: put the newest one back; docs/formats/log.md says what to do without it.',
  },
  WITNESS_QUORUM: { exit: 1, fix: 'Too few witnesses cosigned the log; nothing is lost: try again when they answer.' },
  EVIDENCE_REJECTED: { exit: 5, fix: 'The evidence does not meet the policy; each failed check names what it wanted.' },
  POLICY_DENIED: { exit: 5, fix: 'The policy does not allow this; ask the data owner.' },
  GRANT_DENIED: { exit: 5, fix: 'No grant of the owner covers this job; ask the owner for one that does.' },
  GRANT_EXPIRED: { exit: 5, fix: 'The grant is not valid at this time; ask the owner to renew it.' },
  GRANT_USED: { exit: 5, fix: 'The use slots of the grant are spent; ask the owner for a new grant.' },
  GRANT_HELD: { exit: 5, fix: 'The owner holds this grant: nothing is released under it until the owner resumes it.' },
  HOLD_STALE: { exit: 5, fix: 'A newer hold, or end of one, is in force; sign one with a higher sequence: ask again.' },
  DATASET_ERASED: { exit: 5, fix: 'The owner has erased this dataset: its key is gone, and nothing brings it back.' },
  SIGNER_UNKNOWN: { exit: 5, fix: 'The signer is not in the trust file; name one with --trust.' },
  KEY_RETIRED: { exit: 5, fix: 'The signer was retired before this is proven to have existed; take in the succession of its key.' },
  KEY_COMPROMISED: { exit: 5, fix: 'The key was in wrong hands before this is proven to have existed: do not rely on it.' },
  RECEIPT_INCONSISTENT: { exit: 4, fix: 'Parts of the receipt contradict each other: do not trust it.' },
  JOB_CONFLICT: { exit: 5, fix: 'The job is not in a state that allows this; see sealgate job watch.' },
  JOB_LOST: { exit: 5, fix: 'The host or the gateway went away in mid-job. Nothing was repeated: submit a new job.' },
  JOB_FAILED: { exit: 5, fix: 'The workload ended with an error; its output says why.' },
  NO_HOST: { exit: 5, fix: 'No attested host fits the contract; see sealgate job explain.' },
  HOST_BUSY: { exit: 5, fix: 'Other jobs take what this one needs; it waits for its turn.' },
  LIMIT_EXCEEDED: { exit: 5, fix: 'The input is larger than the limit that is named.' },
  NOT_FOUND: { exit: 5, fix: 'Check the id; list what exists.' },
  ALREADY_EXISTS: { exit: 5, fix: 'Choose another name or use what exists.' },
  UNAUTHENTICATED: { exit: 5, fix: 'Use a certificate that this gateway issued (sealgate ca issue).' },
  PERMISSION_DENIED: { exit: 5, fix: 'This identity may not do that; use another certificate.' },
  GATEWAY_UNREACHABLE: { exit: 1, fix: 'Start the gateway (sealgate gateway start) or check the address.' },
  TLS_REJECTED: { exit: 4, fix: 'The certificates do not match: use the ca.crt and identity of this gateway.' },
  PORT_IN_USE: { exit: 1, fix: 'Another program listens there: choose another --listen address.' },
  MEMORY_EXPOSED: { exit: 1, fix: 'Turn off swap and piped core dumps on the host: plaintext in memory could reach a disk.' },
  ENGINE_UNAVAILABLE: { exit: 1, fix: 'Start the Docker engine, or choose --runner wasm.' },
  ENGINE_PERMISSION: { exit: 1, fix: 'Let this user use the Docker socket, or choose --runner wasm.' },
  ATTESTER_UNAVAILABLE: { exit: 1, fix: 'This machine offers no such TEE; choose another --attester.' },
  IMAGE_UNAVAILABLE: { exit: 5, fix: 'The host does not have this image; see enclave-images/README.md.' },
  IMAGE_DIGEST_MISMATCH: { exit: 4, fix: 'The image is not the one the contract names; build it again.' },
  KEYSTORE_UNAVAILABLE: {
    exit: 1,
    fix: 'The token, KMS or file that holds the key-encryption keys does not answer: bring it back, nothing is lost.',
  },
  KEYSTORE_DENIED: {
    exit: 5,
    fix: 'The key store refuses this PIN, passphrase or identity. Tokens lock after a few attempts: look first.',
  },
  KEYSTORE_CORRUPT: {
    exit: 1,
    fix: 'What the key store kept contradicts itself: restore it, or have the owners entrust their keys again.',
  },
  KEK_DESTROYED: { exit: 5, fix: 'The key-encryption key of this epoch is gone for good: use the newest copy of the store.' },
  STORE_LOCKED: { exit: 1, fix: 'Another process uses this data folder; stop it first.' },
  DISK_FULL: { exit: 1, fix: 'Free some space; nothing that was acknowledged is lost.' },
  USAGE: { exit: 2, fix: 'See --help.' },
  FILE_UNREADABLE: { exit: 2, fix: 'Check the path and its permissions.' },
  CANCELLED: { exit: 1, fix: 'The operation was cancelled.' },
  DEADLINE: { exit: 1, fix: 'The operation took too long; try again.' },
  INTERNAL: { exit: 1, fix: 'This is a defect: please report it with the log of the command.' },
} as const

/** Stable name of a failure. */
export type ErrorCode = keyof typeof ERROR_CODES

/** Where in the input a failure lies, and what caused it. `cause` is for logs and never crosses the wire. */
export interface ErrorPlace {
  readonly at?: string
  readonly cause?: unknown
}

/** The one error class of sealgate. Told apart by `code`, never by text. */
export class AttestError extends Error {
  readonly code: ErrorCode
  readonly at: string | undefined

  constructor(code: ErrorCode, message: string, place: ErrorPlace = {}) {
    super(message, place.cause === undefined ? undefined : { cause: place.cause })
    this.name = 'AttestError'
    this.code = code
    this.at = place.at
  }
}
