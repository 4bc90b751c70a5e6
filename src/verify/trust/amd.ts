import { fromBase64 } from '../bytes/bytes.ts'
import type { Anchor } from './anchor.ts'

/** EPYC generations by AMD's name of their key hierarchy. Siena and Bergamo are `Genoa`. */
export type AmdProduct = 'Milan' | 'Genoa' | 'Turin'

/** What AMD published about one certificate authority. Facts, not a copy of the certificate. */
export interface AmdAuthority {
  readonly commonName: string
  readonly issuerCommonName: string
  readonly serial: string
  readonly notBefore: string
  readonly notAfter: string
  /** SHA-256 of the DER certificate and of its SubjectPublicKeyInfo, hexadecimal. */
  readonly certificateSha256: string
  readonly spkiSha256: string
  /** Where AMD's Key Distribution Service publishes the certificate. */
  readonly published: string
  /** DER SubjectPublicKeyInfo (RSA-4096), base64. */
  readonly spki: string
}

/** ARK, ASK (signs VCEKs) and ASVK (signs VLEKs) of one product. */
export interface AmdHierarchy {
  readonly product: AmdProduct
  readonly ark: AmdAuthority
  readonly ask: AmdAuthority
  readonly asvk: AmdAuthority
}

/** The names of every AMD authority and of every VCEK and VLEK up to the CN (AMD 57230 section 3). */
export const AMD_NAME_PREFIX = 'OU=Engineering,C=US,L=Santa Clara,ST=CA,O=Advanced Micro Devices,CN='

/**
 * AMD's SEV-SNP authorities. Read on 2026-11-23 from copies that are byte-identical in at least four public repositories
 * each; every ASK and ASVK was then checked to be signed by its ARK, and every ARK by itself. The first ASK of Genoa
 * (serial 020001, revoked on 2022-10-31) is left out on purpose: the one here is its successor.
 */
export const AMD_HIERARCHIES: readonly AmdHierarchy[] = [
  {
    product: 'Milan',
    ark: {
      commonName: 'ARK-Milan',
      issuerCommonName: 'ARK-Milan',
      serial: '010000',
      notBefore: '2020-10-22T17:23:05Z',
      notAfter: '2045-10-22T17:23:05Z',
      certificateSha256: '69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd',
      spkiSha256: '9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9',
      published: 'https://kdsintf.amd.com/vcek/v1/Milan/cert_chain',
      spki:
        'MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEA0Ld52RJOdeiJlqK2JdsVmD7FktuotWwX1fNgW41XY9Xz1HEhSUmh' +
        'Lz9Cu9DHRlvgJSNxbeYYsnJfvyjx1MfU0V5tkKiU1EesNFta1kTA0szNisdYc9isqk7mXT5+KfGRbfc4V/9zRIcE8jlHN61S' +
        '1ju8X93+6dxDUrG2SzxqJ4BhqyYmUDruPXJSX4vUc01P7j98MpqOS95rORdGHeI52Naz5m2B+O+vjsC060d37jY9LFeuOP4M' +
        'eri8qgfi2S5kKqg/aF6aPtuAZQVR7u3KFYXP59XmJgtcog05gmI0T/OitLhuzVvpZcLph0odh/1IPXqx3+MnjD97A7fXpqGd' +
        '/y8KxX7jksTEzAOgbKAeam3lm+3yKIcTYMlsRMXPcjNbIvmsBykD//xSniusuHBkgnlENEWx1UcbQQrs+gVDkuVPhsnzIRNg' +
        'YvM48Y+7LGiJYnrmE8xcrexekBxrva2V9TJQqnN3Q53kt5viQi3+gCfmkwC0F0tirIZbLkXPrPwzZ0M9eNxhIySb2npJfgnq' +
        'z55I0u33wh4r0ZNQeTGfw03MBUtyuzGesGkcw+loqMaq1qR4tjGbPYxCvpCq7+OgpCCoMNit2uLo9M18fHz10lOMT8nWAUvR' +
        'ZFzteXCm+7PHdYPlmQwUw3LvenJ/ILXoQPHfbkH0CyPfhl1jWhJFZasCAwEAAQ==',
    },
    ask: {
      commonName: 'SEV-Milan',
      issuerCommonName: 'ARK-Milan',
      serial: '010001',
      notBefore: '2020-10-22T18:24:20Z',
      notAfter: '2045-10-22T18:24:20Z',
      certificateSha256: '67d303bd3905fd38db8b20e0793699870e7fa612eaad5dec358293fd8c0bac1b',
      spkiSha256: '42491669ccb851d627ea9846cd24eccbeb7de7c2a62740120fff88001d38ebb6',
      published: 'https://kdsintf.amd.com/vcek/v1/Milan/cert_chain',
      spki:
        'MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAnU2drrNTfbhNQIllf+W2y+ROCbSzId1aKZft2T9zjZQOzjGccl17' +
        'i1mIKWl7NTcB0VYXt3JxZSzOZjsjLNVAEN2MGj9TiedL+QewKZX0JmQEuYjm+WKksLtxgdLp9E7EZNwNDqV1r0qRP5tB8OWk' +
        'yQbIdLeu4aCz7j/Sl1FkBytev9sbFGzt7cwnjzi9m7noqsk+uRVBp3+In35QPdcj8YflEmnHBNvuUDJhLCJMW8KOjP6++Phb' +
        's3iCitJcANEtW4qTNFoKW3CHlbcSCjTM8KsNbUx3A8ek5EVLjZWH1pt9E3TfpR6XyfQKnY6kl5aEIPwdW3eFYaqCFPrIo9pQ' +
        'T6WuDSP4JCYJbZneKKIbZjzXkJt3NQG32EukYImBb9SCkm9+fS5LZFg9ojzubMX3+NkBoSXI7OPvnHMxjup9mw5se6QUV7Gq' +
        'pCA2TNypolmuQ+cAaxV7JqHE8dl9pWf+Y3arb+9iiFCwFt4lAlJw5D0CTRTC1Y5YWFDBCrA/vGnmTnqG8C+jjUAS7cjjR8q4' +
        'OPhyDmJRPnaC/ZG5uP0K0z6GoO/3uen9wqshCuHegLTpOeHEJRKrQFr4PVIwVOB0+ebO5FgoyOw43nyFD5UKBDxEB4BKo/0u' +
        'AiKHLRvvgLbORbU8KARIs1EoqEjmF8UtrmQWV2hUjwzqwvHFei8rPxMCAwEAAQ==',
    },
    asvk: {
      commonName: 'SEV-VLEK-Milan',
      issuerCommonName: 'ARK-Milan',
      serial: '010101',
      notBefore: '2022-11-16T22:45:24Z',
      notAfter: '2047-11-16T22:45:24Z',
      certificateSha256: 'c5e081f59b7efab1fe2f8b505e159704e72f29cab7ef7cf628a05a42439082f5',
      spkiSha256: '66450a123ea5876206df67f2514a4fea224c0f63b18313423078b0edc4535e33',
      published: 'https://kdsintf.amd.com/vlek/v1/Milan/cert_chain',
      spki:
        'MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEA1EUWkz5FTPz+uWT2hCEyisam8FRuXZAmS3l+rXgSCeS1Q0+1olcn' +
        'FSJpiwfssfhoutJqePyicu+OhkX131PMeO/VOtH3upK4YNJmq36IJp7ZWIm5nK2fJNkYEHW0m/NXcIA9U2iHl5bAQ5cbGp97' +
        '/FaOJ4VmGoTMV658Yox/plFmZRFfRcsw2hyNhqUl1gzdpnIIgPkygUovFEgaa0IVSgGLHQhZQiebNLLSVWRVReve0t94zlRI' +
        'RRdrz84cckP9H9DTAUMyQaxSZbPINKbV6TPmtrwAV9UP1Qq418xn9I+C0SsWutP/5S1OiL8OTzQ4CvgbHOfd2F3yVv4xDBza' +
        '4SelF2igoDf+BF4XI/IIHJL2N5uKy3+gkSB2Xl6prohgVmqRFvBW9OTCEa32WhXu0t1Z1abEKDZ3LpZt9/Crg6zyPpXDLR/t' +
        'LHHpSaPRj7CTzHieKMTz+Q6RrCCQcHGfaAD/ETNY56aHvNJRZgbzXDUJvnLr3dYyOvvn/DtKhCSimJynn7Len4ArDVQVwXRP' +
        'e3hR/asCE2CajT7kGC1AOtUzQuIKZS2D0Qk74g297JhLHpEBlQiyjRJ+LCWZNx9uJcixGyzav6fiOWx4U8uWhRzHs8nvDAdc' +
        'S4LW31tPlA9BeOK/BGimQTu7hM5MDFZL0C9dWK5puCUJex6I2vSqvycCAwEAAQ==',
    },
  },
  {
    product: 'Genoa',
    ark: {
      commonName: 'ARK-Genoa',
      issuerCommonName: 'ARK-Genoa',
      serial: '020000',
      notBefore: '2022-01-26T15:34:37Z',
      notAfter: '2047-01-26T15:34:37Z',
      certificateSha256: '4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1',
      spkiSha256: '429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831',
      published: 'https://kdsintf.amd.com/vcek/v1/Genoa/cert_chain',
      spki:
        'MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEA3Cd95S/uFOuRIskW9vz9VDBF69NDQF79oRhL/L2PVQGhK3YdfEBg' +
        'pF/JiwWFBsT/fXDhzA01p3LkcT/7LdjcRfKXjHl+0Qq/M4dZkh6QDoUeKzNBLDcBKDDGWo3v35NyrxbA1DnkYwUKU5AAk4P9' +
        '4tKXLp80oxt84ahyHoLmc/LqsGsp+oq1Bz4PPsYLwTG4iMKVaaT90/oZ4I8oibSru92vJhlqWO27d/Rxc3iUMyhNeGToOvgx' +
        '/iUo4gGpG61NDpkEUvIzuKcaMx8IdTpWg2DF6SwF0IgVMffnvtJmA68BwJNWo1E4PLJdaPfBifcJpuBFwNVQIPQEVX3aP89H' +
        'JSp8YbY9lySS6PlVEqTBBtaQmi4ATGmMR+n2K/e+JAhU2Gj7jIpJhOkdH9firQDnmlA2SFfJ/Cc0mGNzW9RmIhyOUnNFoclm' +
        'kRhl3/AQU5Ys9Qsan1jT/EiyT+pCpmnA+y9edvhDCbOG8F2oxHGRdTBkylungrkXJGYiwGrR8kaiqv7NN8QhOBMqYjcbrkEr' +
        '0f8QMKklIS5ruOfqlLMCBw8JLB3LkjpWgtD7OpxkzSsohN47Uom86RY6lp72g8eXHP1qYrnvhzaG1S70vw6OkbaaC9EjiH/u' +
        'HgAJQGxon7u0Q7xgoREWA/e7JcBQwLg80Hq/sbRuqesxz7wBWSY254cCAwEAAQ==',
    },
    ask: {
      commonName: 'SEV-Genoa',
      issuerCommonName: 'ARK-Genoa',
      serial: '020002',
      notBefore: '2022-10-31T13:33:48Z',
      notAfter: '2047-10-31T13:33:48Z',
      certificateSha256: '5464738c1546aed5f2cecf1dc98c5c960a92e8913238a61711bc90ec6e828521',
      spkiSha256: '0324d55bcd48ba877a8fd87c0e1b4934dec8448e3807a24384a34dc6a6c9ebb8',
      published: 'https://kdsintf.amd.com/vcek/v1/Genoa/cert_chain',
      spki:
        'MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAoHJhvk4Fwwkwb03AMfLySXJSXmEaCZMTRbLgPaj4oEzaD9tGfxCS' +
        'w/nsCAiXHQaWUt++bnbjJO05TKT5d+Cdrz4/fiRBpbhf0xzvh11O+wJTBPj3uCzDm48vEZ8l5SXMO4wd/QqwsrejFERPD/Hd' +
        'fv1mGCMW7ac0ug8trDzqGe+l+p8NMjp/EqBDY2vd8hLaVLmS+XjAqlYVNRksh9aTzSYL19/cTrBDmqQ2y8k23zNl2lW6q/Bt' +
        'QOpWGVs3EWvBHb/Qnf3f3S9+lC4H2jdDy9yn7kqyTWq4WCBnE4qhYJRokulYtzMZM1Ilk4Z6RPkOTR1MJ4gdFtj7lKmrkSuO' +
        'oJYmqhJIsQJ854lAbJybgU7zyzWAwu3uaslkYKUEAQf2ja5Hyl3IBqOzpqY31SpKzbl8NXveZybRMklwfe4iDLI25T9ku9CV' +
        'etDYifCbdGeuHdTwZBBemW4NE57L7iEV8+zz8nxng8OMX//4pXntWqmQbEAnBLv2ToTgd1H2zYRthyDLc3V119/+FnTW17LK' +
        '6bKzTCgEnCHQEcAt0hDQLLF799+2lZTxxfBEoduAZax6IjgAMCi6e1ZfKPJSkdvb2m3BwfP8bniG7+AEJv1WOEmnBJc1pVQC' +
        'ttbJUodbi07Vfen5JRUqAvSM3ObWQOzSAGzsGnpIigwFpW6m9F7uYVUCAwEAAQ==',
    },
    asvk: {
      commonName: 'SEV-VLEK-Genoa',
      issuerCommonName: 'ARK-Genoa',
      serial: '020101',
      notBefore: '2022-11-18T20:48:34Z',
      notAfter: '2047-11-18T20:48:34Z',
      certificateSha256: '197e610743a917d6b9bb982a5a9226ccc0a15b611be0619e626aca9151457372',
      spkiSha256: '7d1633252ebbadaa75f96e9b4e6f7d43a90ceb3f843937482630f8da2459264e',
      published: 'https://kdsintf.amd.com/vlek/v1/Genoa/cert_chain',
      spki:
        'MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAzL2/xihHscEpxS3+OsQZpAuNIJGSEQZrkoWPtqKMjjZOyXMMRHAh' +
        'eTm56Ei0Mb8TJZlbGDS5x/AdbowstGmpHqh2zvSvjZO7V4v6Ft84p71P6GXfOVEQgCuatiszfIwFrRQk/cmU7HuJadBq6XtY' +
        'E+qBJMjus8C0WwW/IWY9j6pNbEA1SnUvVg6t89zfE+AcB5UDCKq09x7qw+rPt9pTpEch0f1bHdRFJlpgWGTq02ohH9bT+6au' +
        '8kPpvMa3m2p8zdIIqtuuSG6srIimrpt24lsr4tLhQG65R/RbVJT9MsK4ULpbAUO5NwdlLwbnpLWHiUwoYrySMD8l3xRDvhPm' +
        'InlXEFEo8lahcYllxiJJR8oqqA6x3jPFKmkfhEgaQefcn4P8nA4SScqAoLihn75iiDtU2+ZlkPnKgcNs5U1Le441ypen2n7B' +
        'OnRyhmwyAUBGk3OcMXHsJ6KGpDJyTVCaC3fWX3ex4Iv4LkuKRA6O9yu3zHP23N/ubE8/YykffIjMbtBoOAzdWCn9lE4amo4V' +
        'Z+8ewIutZAYmC5TIQO+wWUqKYr0iAobccMnZdJjUORjVoqVQ+dLr+/1otk36gfPc0LpmhWZKfAXF9sgvYtQjcaR9wlGr8ySR' +
        'tZ2YJWofuR7zgYFJPEXRwAnbAR/05hBmog7CMt1F9YKSmku6JfRecY8CAwEAAQ==',
    },
  },
  {
    product: 'Turin',
    ark: {
      commonName: 'ARK-Turin',
      issuerCommonName: 'ARK-Turin',
      serial: '030000',
      notBefore: '2023-05-15T20:03:12Z',
      notAfter: '2048-05-15T20:03:12Z',
      certificateSha256: '1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a',
      spkiSha256: '4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08',
      published: 'https://kdsintf.amd.com/vcek/v1/Turin/cert_chain',
      spki:
        'MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAwaAriB7EIuVc4ZB1wD3YfDxL+9eyS7+izm0Jj3W772NINCWl8Bj3' +
        'w/JD2ZjmbRxWdIq/4d9iarCKorXloJUB1jRdgxqccTx1aOoig4+2w1XhVVJT7K457wT5ZLNJgQaxqa9Etkwjd6+9sOhlCDE9' +
        'l43kQ0R2BikVJa/uyyVOSwEk5w5tXKOuG9jvq6QtAMJasW38wlqRDaKEGtZ9VUgGon27ZuL4sTJuC/azz9/iQBw8kEilzOl9' +
        '5AiTkeY5jSEBDWbAqnZk5qlM7kISKG20kgQm14mhNKDI2p2oua+zuAG7i52epoRF2GfU0TYk/yf+vCNB2tnechFQuP2e8bLk' +
        '95ZdqPi9/UWw4JXjtdEA4u2JYplSSUPQVAXKt6LVqujtJcM59JKr2u0XQ75KwxcMp15gSXhBfInvPAwuAY4dEwwGqT8oIg4e' +
        'sPHwEsmChhYeDIxPG9R4fx9O0q6p8Gb+HXlTiS47P9YNeOpidOUKzDl/S1OvyhDtSL8LJc24QATFydo/iD/KUdvFTRlD0crk' +
        'AMkZLoWQ8hLDGc6BZJXsdd7Zf2e4UW3tI/1oh/2t23Ot3zyhTcv5gDbABu0LjVe98uRnS15SMwK//lJt9e5BqKvgABkSoABf' +
        '+B4VFtPVEX0ygrYaFaI9i5ABrxnVBmzXpRb21iI1NlNCfOGUPIhVpWECAwEAAQ==',
    },
    ask: {
      commonName: 'SEV-Turin',
      issuerCommonName: 'ARK-Turin',
      serial: '030001',
      notBefore: '2023-05-15T20:25:21Z',
      notAfter: '2048-05-15T20:25:21Z',
      certificateSha256: '5b77ef5fe7a7a004fd9032668fba9d0fda22f88c4442069a479636a6ae3b3185',
      spkiSha256: '0000ead352025f208bf55297c4192c34cd1b878002107366d8f2065a9ae7d3a9',
      published: 'https://kdsintf.amd.com/vcek/v1/Turin/cert_chain',
      spki:
        'MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAnvg5Grv2Emd9lAhKdO64RXU3UESb6JTm0Hhzevx1PyxinxYqJL32' +
        '9qTJM0XmdozLYb7rsHxgM5I2pU18M8gect2pN/YB2LQ1/bIq37TPDbg7ym0MN6KkZ6aERxAX0voYtdDyNxjDAUjpRpCe1Fcc' +
        'Aev/Es2n/Fz1G1TmC2XepTQqaKpmt6mnDWSCHCVsQoY0gSibeaG6doM6OiNUCbKXaC7KHH5b/96BD1DJ84M+JHqPClFhHqUJ' +
        'wzKF5Qxj4wgWAZzK8UPhiNGjrF6+TBdlFGdSzEqw1jOrCTHduYyLK+5OQ3OIw4S+vZeOVoxJajTIWdsqYP2DLc0HkL0qWOum' +
        'EOrrc2/4DeETShB0MyIpH05kSalyQN2eN5P6ptOB84hddCdbJPEepnD+FqQap1ukw3K8uBcgeBSAF23r6UtT8Uc5h7MsWX3M' +
        'oZiEHcSkDQQ8IedTk7CLjsK6S7b/lfKqfYiRhKgGkRvsEd/MDNcumHZKIgzasJwgagzSggiUo9jXp3EWm84fqyxNXzSutPB7' +
        'qD5P/ULAB+q9QgvrzC8XneaLP0MNrHhM80UejmsBTIktMvFoWVIelYDLdcoi0eMD5DRccfsgrYaY6h/+/qf9tgg+mX09UJpu' +
        'SPRF38oyqnNNFMl5v/tWLgUsChPU6NCQC17Qaqr8mu2ynyyuHEs5JVUCAwEAAQ==',
    },
    asvk: {
      commonName: 'SEV-VLEK-Turin',
      issuerCommonName: 'ARK-Turin',
      serial: '030101',
      notBefore: '2023-05-15T21:09:41Z',
      notAfter: '2048-05-15T21:09:41Z',
      certificateSha256: '104e10a8bd060a3c20a434261a57d0588fd65a88915b4f65b08bdecaf8df1a3c',
      spkiSha256: 'bfc441408b2f806c5dbf180bd8920e6e60dd404d82141780d85dbf962954d386',
      published: 'https://kdsintf.amd.com/vlek/v1/Turin/cert_chain',
      spki:
        'MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEApjrui4l0ZogEh0fDdVfJ4unowGGolk2wXyzjbjC/fnqlhFqiFj1J' +
        'SKdkYSvzPVfgDR0MU2WLlytrAGqOHYBdk4Moz3xHTXJus75Nef0EBZpGk9M4PQGF+nTqYi+hDguq14wQUEltN9wGunnUeaMz' +
        '0e6hfCasDevkypILMponvTvaM49RAipCvTgmPRTkQA8hjl3tA6R7S/HKTn6/Q3T74A0BfygK49LLkdHF05Wo0pZ9qmPyhi0R' +
        'h9epY0L+/T2e17fohWcCavgE+KF5GO5XINzunwKolCCyH3930iAmb1vv5v4PimnGsfH4ic4kIApR1hZApU3YG3qUE84qkb5S' +
        'EASQsTZCT0Jv/AxC9So5h2wraVzWz6GvpPHEtRKvue5vehkwPjFipJMT5Z7CmNuXc+0lcVSZMHSbswFSHKKtp4F0UDoPnuIW' +
        'w/djGDjkGXS9W5M2N3zVSbn94cJxCMzOTzILhcX/lJatooslfxvqucFH8PpS9xBMhuN4fTPlNk/oVbQ6w8pxEMibo0K8Q+gO' +
        'qqzdVm6i7jotobsuYxH1Httjsc61vSskSDT4JkPjqTWiyOmsFI+6Ob/hya/fqpe0EPy68TPk85COC7uqNMzu58xb0uAtt0be' +
        'ejDx29mRRbiPNL5tnwK9KFmZDpeZWSZgzvn2K+SQTK80ZKn8Yq2SKfUCAwEAAQ==',
    },
  },
]

/** An ARK with the intermediates that are pinned under it. */
export interface AmdRoot {
  readonly product: AmdProduct
  readonly ark: Anchor
  readonly intermediates: readonly Anchor[]
}

/** {@link AMD_HIERARCHIES} in the form that chain building takes. */
export const AMD_ROOTS: readonly AmdRoot[] = AMD_HIERARCHIES.map(({ product, ark, ask, asvk }) => ({
  product,
  ark: toAnchor(ark),
  intermediates: [toAnchor(ask), toAnchor(asvk)],
}))

function toAnchor(authority: AmdAuthority): Anchor {
  return {
    subject: AMD_NAME_PREFIX + authority.commonName,
    issuer: AMD_NAME_PREFIX + authority.issuerCommonName,
    serial: authority.serial,
    notBefore: Date.parse(authority.notBefore),
    notAfter: Date.parse(authority.notAfter),
    spki: fromBase64(authority.spki),
    spkiSha256: authority.spkiSha256,
  }
}
