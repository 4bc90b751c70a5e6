/**
 * SHA-256 of the SubjectPublicKeyInfo of keys whose private halves are public, as samples of Arm CCA and PSA: whoever signs with
 * one proves nothing about hardware. Read on 2026-11-22. Arm names no root under which real platforms stand.
 */
export const PUBLISHED_TEST_KEYS: ReadonlySet<string> = new Set([
  // CCA platform attestation key of Trusted Firmware-A, also that of the samples of RMM, Veraison and Trustee.
  '0928f896cb02326566530a62a1e36329a12d0a4a308f4fc81e8ff5560bca6bca',
  // Islet's sample.
  '5e6d207b15b7242064617dab2528badbd72cbec081211f68d3b140f5c9b17646',
  // Veraison's sample on P-256.
  '51b944cdfa544d4c3273aa6bf350625a7dd53bbb6a71723274f538b19a207760',
  // Initial attestation key of Trusted Firmware-M.
  '7b1a17147ca907e16cad79901fef13991ec6206e3d148b657068ad6c4cba4626',
])
