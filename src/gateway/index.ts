export { type Clock, systemClock } from './clock.ts'
export {
  collateralSchema,
  type Listed,
  looksLikeBundle,
  MAX_BUNDLE_SIZE,
  type OpenCollateral,
  openCollateral,
  openGatewayCollateral,
} from './collateral/index.ts'
export { GATEWAY_FILES, type GatewayConfig, type GatewayLimits, loadConfig } from './config/config.ts'
export { type GatewayKeys, type LogPrivateKey, loadKeys, loadRotation, type Rotation } from './config/keys.ts'
export { gatewayMlDsaSigner } from './config/ml-dsa.ts'
export { examineLog, type LogState, renewHead } from './log/examine.ts'
export { type GatewayOptions, type RunningGateway, startGateway } from './start-gateway.ts'
export { openStore, type StoreOptions } from './store/open-store.ts'
