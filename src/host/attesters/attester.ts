import type { Format } from '../../verify/evidence/types.ts'

/** What a report shall bind, in each form that a format has room for (docs/formats/binding.md). */
export interface AttestationSubject {
  /** SHA-512 of the binding: REPORT_DATA, realm challenge, Nitro's `user_data`. 64 bytes. */
  readonly reportData: Uint8Array
  /** SHA-256 of the binding: TPM 2.0 `extraData`. 32 bytes. */
  readonly bindingDigest: Uint8Array
  /** The binding's nonce: Nitro's `nonce`. 32 bytes. */
  readonly nonce: Uint8Array
  /** The binding's KEM key: Nitro's `public_key`. */
  readonly publicKey: Uint8Array
}

/** One CPU report as its TEE signed it. */
export interface AttesterReport {
  readonly report: Uint8Array
  /** Certificates (DER) that the platform has at hand, and what belongs to a TPM's quote: hints, never anchors. */
  readonly endorsements: readonly Uint8Array[]
}

/** A source of evidence about this machine. */
export interface Attester {
  readonly format: Extract<Format, 'sev-snp' | 'tdx' | 'nitro' | 'arm-cca' | 'tpm' | 'azure-cvm'>
  /** True when the reports prove nothing about hardware. */
  readonly simulated: boolean
  /** @throws AttestError `ATTESTER_UNAVAILABLE`. */
  attest(subject: AttestationSubject): Promise<AttesterReport>
}

/** One device's report, with the chain that vouches for its key. */
export interface DeviceEvidence {
  readonly type: 'gpu' | 'nvswitch'
  /** Raw, as the device signed it. */
  readonly report: Uint8Array
  /** PEM, leaf first. */
  readonly certificateChain: Uint8Array
}

/** A source of evidence about devices of this machine. */
export interface DeviceAttester {
  /** Devices that are here and cannot be attested, in words for the operator. */
  readonly unattested: readonly string[]
  /** Manifests and OCSP responses that the machine has at hand, as endorsements are spelled: hints, never anchors. */
  readonly endorsements: readonly Uint8Array[]
  /** True when the reports prove nothing about hardware. */
  readonly simulated: boolean
  /** How many devices there are now. @throws AttestError `ATTESTER_UNAVAILABLE`. */
  count(): Promise<number>
  /** What a container engine calls the devices, in the order of the evidence. Empty where there is nothing to hand over: simulated ones. */
  engineIds(): Promise<readonly string[]>
  /**
   * @param nonces - 32 bytes for each device, in the order of the machine.
   * @throws AttestError `ATTESTER_UNAVAILABLE`, also when there are not as many devices as nonces.
   */
  attestDevices(nonces: readonly Uint8Array[]): Promise<readonly DeviceEvidence[]>
}
