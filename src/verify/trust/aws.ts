import { fromBase64 } from '../bytes/bytes.ts'
import type { Anchor } from './anchor.ts'

/**
 * AWS Nitro Enclaves Root G1: over every attestation document of Nitro Enclaves and of NitroTPM. AWS names it by the SHA-256 of
 * its one certificate (Nitro Enclaves user guide, "Verifying the root of trust"); read on 2026-11-22 from a copy in a public
 * repository with that fingerprint, which is cabundle[0] of every genuine document seen.
 */
export const AWS_NITRO_ROOT: Anchor = {
  subject: 'C=US,O=Amazon,OU=AWS,CN=aws.nitro-enclaves',
  issuer: 'C=US,O=Amazon,OU=AWS,CN=aws.nitro-enclaves',
  serial: '00f93175681b90afe11d46ccb4e4e7f856',
  notBefore: Date.parse('2019-10-28T13:28:05Z'),
  notAfter: Date.parse('2049-10-28T14:28:05Z'),
  spki: fromBase64(
    'MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE/AJU66YIwfNocOKa2pC+RjgyknNuiUv/9nLZiURLUFHlNKSx9tvjwLxYGjK3sXYHDt4S1po/6iEbZudSz33R3QlfbxNw9BcIQ9ncEAEh5M9jASgJZkSHyXlihDBNxT/0',
  ),
  spkiSha256: 'f2caf5ecc6190b4a8399b78bc58a2bbcd0382375db8a1bfd78a82743874fd225',
}

/** SHA-256 of the certificate, as AWS publishes it. */
export const AWS_NITRO_ROOT_SHA256 = '641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b'
