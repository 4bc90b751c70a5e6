import { fromBase64 } from '../bytes/bytes.ts'
import type { Anchor } from './anchor.ts'

/**
 * NVIDIA Device Identity CA: over the certificate chains of GPUs (Hopper, Blackwell) and NVSwitches (LS10). SHA-256 of the
 * certificate 102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48. Read on 2026-11-22 from NVIDIA/attestation-sdk
 * (certs.h) and NVIDIA/nvtrust (verifier_device_root.pem), which are byte-identical. A second certificate of the same name
 * with another key is in circulation, so what is trusted is the key.
 */
export const NVIDIA_DEVICE_ROOT: Anchor = {
  subject: 'CN=NVIDIA Device Identity CA,O=NVIDIA',
  issuer: 'CN=NVIDIA Device Identity CA,O=NVIDIA',
  serial: '2d3670b1ca100411c1fec0e82a065b54',
  notBefore: Date.parse('2021-11-05T00:00:00Z'),
  notAfter: Date.parse('9999-12-31T23:59:59Z'),
  spki: fromBase64(
    'MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEDkwUozv4pWJmWNtBKWB+TL9FGcRBJxb00NkXxJeABb3qvq79V7xmCC1xik+LYFLhUW7op8QiuE3oVwcbtY/Tlb6gz6HGPufIDWvWOQHZHLvRh9OFfcFrXM6vI4/4wn29',
  ),
  spkiSha256: 'a90c4eb5acfd3e3d03a25db6a26b84f720ad0503196c627c21ddd48dd85b06a4',
}

/**
 * NVIDIA CoRIM signing Root CA: over the signers of reference manifests (driver, vBIOS, switch BIOS). SHA-256 of the
 * certificate 12977b5115acb0381179279fffeb5a8c4d264971ebb32298023a465fa41df5d1. Read on 2026-11-22 from NVIDIA/attestation-sdk
 * (certs.h) and NVIDIA/nvtrust (verifier_RIM_root.pem), which are byte-identical.
 */
export const NVIDIA_RIM_ROOT: Anchor = {
  subject: 'C=US,O=NVIDIA,CN=NVIDIA CoRIM signing Root CA',
  issuer: 'C=US,O=NVIDIA,CN=NVIDIA CoRIM signing Root CA',
  serial: '45dae3a00e5037bddf875375ecb5e270',
  notBefore: Date.parse('2023-03-16T15:37:34Z'),
  notAfter: Date.parse('2053-03-08T15:37:34Z'),
  spki: fromBase64(
    'MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEuECyi9vNM+Iw2lfUzyBldHAwaC1HF7TCgp12QcEyUTm3Tagxwr48d55+K2VIlWYIDk7NlAIQdcV/Ff7euGLI+Qauj93HsSI4WX298PpW54RTgz9tC+Q684caR/BXWEeZ',
  ),
  spkiSha256: 'dec1dc316477aa851eebdf51327ae9f864bc8d89254657ed1e7eb9168af1e1a3',
}
