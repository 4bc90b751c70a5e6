/** What kind of device a report is about. */
export type DeviceKind = 'gpu' | 'switch'

/** DMTF DSP0274 (SPDM) 1.1.0 section 10.11: GET_MEASUREMENTS and MEASUREMENTS. */
export const SPDM = {
  version: 0x11,
  getMeasurements: 0xe0,
  measurements: 0x60,
  /** Param1 of the request: a signature is wanted. */
  signatureRequested: 0x01,
  /** Param2 of the request: all measurements. */
  allMeasurements: 0xff,
  slot: 0,
} as const

export const NONCE_SIZE = 32
/** The request that stands in front of the response in what NVML hands out. */
export const REQUEST_SIZE = 37
export const SIGNATURE_SIZE = 96
/** SHA-384. */
export const DIGEST_SIZE = 48
/** Index, specification, size, value type, value size, value. */
export const BLOCK_SIZE = 55
/** A GPU has 64 measurements, an LS10 switch 31. */
export const MAX_BLOCKS = 64
/** NVML_CC_GPU_ATTESTATION_REPORT_SIZE of nvml.h. */
export const MAX_REPORT_SIZE = 0x2000

/** DSP0274 table 45: measurement block in the form of the DMTF, value type "mutable firmware". */
export const BLOCK = { specification: 1, valueType: 1 } as const

/** Types of opaque fields (NVIDIA/attestation-sdk, nvtrust spdm_msrt_resp_msg.py). */
export const OPAQUE = {
  certIssuerName: 1,
  certAuthorityKeyIdentifier: 2,
  driverVersion: 3,
  gpuInfo: 4,
  sku: 5,
  vbiosVersion: 6,
  manufacturerId: 7,
  tamperDetection: 8,
  smc: 9,
  vpr: 10,
  nvdec0Status: 11,
  msrscnt: 12,
  cprinfo: 13,
  boardId: 14,
  chipSku: 15,
  chipSkuMod: 16,
  project: 17,
  projectSku: 18,
  projectSkuMod: 19,
  fwid: 20,
  protectedPcieStatus: 21,
  switchPdi: 22,
  floorsweptPorts: 23,
  positionId: 24,
  lockSwitchStatus: 25,
  switchGpuPdis: 26,
  switchPorts: 27,
  gpuLinkConn: 32,
  sysEnableStatus: 33,
  opaqueDataVersion: 34,
  chipInfo: 35,
  featureFlag: 36,
} as const

export type OpaqueName = keyof typeof OPAQUE

/** Highest OPAQUE_DATA_VERSION whose fields are known here. */
export const OPAQUE_DATA_VERSION = 1

/** NVDEC0_STATUS and PROTECTED_PCIE_STATUS. */
export const STATUS = { enabled: 0xaa, disabled: 0x55 } as const

/** FEATURE_FLAG: single GPU passthrough, multi GPU passthrough, protected PCIe. */
export const MODES = ['SPT', 'MPT', 'PPCIE'] as const
export type Mode = (typeof MODES)[number]

/** Golden index of the measurement that does not count while NVDEC0 is disabled. */
export const NVDEC0_INDEX = 35

export const PDI_SIZE = 8
/** Slots for NVLinks in the report of a GPU, for GPUs in that of a switch. */
export const GPU_LINK_SLOTS = 18
export const SWITCH_GPU_SLOTS = 8
/** Devices of one HGX system in protected PCIe mode. */
export const PPCIE = { gpus: 8, switches: 4 } as const
