import { fromBase64 } from '../bytes/bytes.ts'
import type { Anchor } from './anchor.ts'

/**
 * Intel SGX Root CA: over the PCK certificates of every platform, SGX and TDX, and over the signer of TCB info and
 * identities. Two certificates with this key, serial and name are in circulation, one that ends on 2033-05-21 (SHA-256
 * fc64f807…) and its successor (44a0196b…), so what is trusted is the key. Read on 2026-11-23 from copies that are
 * byte-identical in 30 public repositories; Intel publishes it as
 * https://certificates.trustedservices.intel.com/Intel_SGX_Provisioning_Certification_RootCA.pem.
 */
export const INTEL_SGX_ROOT: Anchor = {
  subject: 'CN=Intel SGX Root CA,O=Intel Corporation,L=Santa Clara,ST=CA,C=US',
  issuer: 'CN=Intel SGX Root CA,O=Intel Corporation,L=Santa Clara,ST=CA,C=US',
  serial: '22650cd65a9d3489f383b49552bf501b392706ac',
  notBefore: Date.parse('2018-05-21T10:45:10Z'),
  notAfter: Date.parse('2049-12-31T23:59:59Z'),
  spki: fromBase64(
    'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEC6nEwMDIYZOj/iPWsCzaEKi71OiOSLRFhWGjbnBVJfVnkY4u3IjkDYYL0MxO4mqsyYjlBalTVYxFP2sJBK5zlA==',
  ),
  spkiSha256: 'a0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e',
}
