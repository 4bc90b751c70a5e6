import { fromBase64 } from '../bytes/bytes.ts'
import type { Anchor } from './anchor.ts'

const GOOGLE = 'C=US,ST=California,L=Mountain View,O=Google LLC'
const ROOT_1 = `${GOOGLE},OU=Cloud,CN=tpm_ek_v1_cloud_host_root-signer-0-2018-04-06T10:58:26-07:00 K:1\\, 1:Pw003HsFYO4:0:18`
const ROOT_2022 = `${GOOGLE},OU=Google Cloud,CN=EK/AK CA Root`

/**
 * Roots of clouds that certify the keys of their virtual TPMs. They prove that the cloud's own hypervisor holds the key, and
 * nothing about hardware. Google's, read on 2026-11-27 from google/go-tpm-tools server/ca-certs (commit 67670e5c); SHA-256 of
 * the certificates 9bd5285f… and 59475959…. Microsoft's is not here: no second source confirmed the one copy that was found.
 */
export const VTPM_ROOTS: readonly Anchor[] = [
  {
    subject: ROOT_1,
    issuer: ROOT_1,
    serial: '6f0e24b18dbe4e538c4f96c3a8265ac1',
    notBefore: Date.parse('2018-04-06T17:58:26Z'),
    notAfter: Date.parse('2118-04-06T18:58:26Z'),
    spki: fromBase64(
      'MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEA+8I7pO5X+Oknhq5hWj70Mq12wLsQ/mle3JfC9ucKPaRP7wk8Zv7604nKWKENI7YE2u2pW6SSJXx1dhjQxA258+KdKcFk/uzVFc3gX32TS1Ijd7lMjYPBEUFXSNy7uthmXPHeY7WW02n/1RUDfPEvPrrdI+egEFRQ2Vedj3Qm504t/Bc0/rwqIK39ggbteshExjyJc0WtNL0EiVotv4siCaHb0U39hxCxewDK6bzfkWhQtwMurOtOMD7et9G9AvCurlCwlwRW5lhVFBLm13hFtEPPgYtDMe1FPQNJ7z1oUCd1oryHiL9YsOg4jxInwHyb5W85YNifH/uo/o2wKeJxWDsFDNioC2VNMdTOLk13ansdzcVtuphTvgR01O0UDAOwj3k3R/4sLfBErXG8aBpFJ2cl6SWE1Wx07TRMOSYBV2SQr6js+KPZKzbLBb25EfmCeiyd+zCJbEB70u/Al8Gvgw22Frt68DBy+qRG8EkWB34BW6A67A4ILescUSq5qhRak2u9IEUxWihaCzR8wxxK1hiP69F31o0O2AexuBJC8IUOaj3WVypEVzBioN/wmZDBk73Jg7ONv/vcwGzFHO5el5D38v9KsiAvfNLsstPJttDcsk7n3a/P6wSTr8/8g5lIY9KHk0tUtLOMd9S4xHrSEnzMajfhAcn+nWbpod+TnaECAwEAAQ==',
    ),
    spkiSha256: 'f23057f4f97d1d90e4cae0ce91d5a0fc99069f0a1bc147021dca33b1e9c4d0d9',
  },
  {
    subject: ROOT_2022,
    issuer: ROOT_2022,
    serial: '00a65da4f9e328f38035c3a73d4f72432bdf15dc',
    notBefore: Date.parse('2022-07-08T00:40:34Z'),
    notAfter: Date.parse('2122-07-08T05:57:23Z'),
    spki: fromBase64(
      'MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAnSX1UKjIlktKiXwrKE2ltLukGe6JwTqm2t23EBYhHZOcvFKDE0WJHt2u2h/EjSu5x6gIimxr00cgqvPewz838TyYU0eIkC7JV/ek+mYOksllDWp7zIeSkZKzcqPezlhha0R5wJV/M2zgy0q8Z8D5YoHj0Do2iLxH1HUaicsg3rBJdfeQ/WJtGfQ0aB2qB+BF7kcLeQoCGNnqxxPwRvVIaVoHIbMTlagZOc1vKJ+TLH2hRnFdUmyq/arrXVbdqls/FyB6/zPkldBRuutDsRs7RK0rUOwpGwou4P5gvGOsFFDhR4g3lYenobS+BiI6m0ebpgpnFB6Y7+RUwtHOybUBgft404V6RwEgpGNKqmTmbi53Tiq6bp/SEGPeIT8974O8htWEuH0i0C6chIZA8D11gSB8D+paKv6lTstXemGkt4aG6WXwb/NiZCEXeF6DRu4hHvRpq/NPyIsBCvFUw1FkkQYzAg3+2rxiJPf7cRkhxKqroYAaOK5XDc0ixcLf4K5IkZDkZsOnj0tzpVY8d5Z4W/BJQaDEpermvX49GyhiArpLiGF5yBcRflztG1rpNwWUQVvRcr1+nLV2vz0t4UbFQGl0O8rENEsybcVB6fyuZH89JF4RwmxqptQ/+rs9zuTRF8X0xvoB89l+eqClglD4gVKv0SNFJbXA9wvTfOhM/jsCAwEAAQ==',
    ),
    spkiSha256: '56a613f57126a385dd6949294e93b0b566f96ab0573be0c2368e6f5ca779831f',
  },
]
