/* A stand-in for libnvidia-ml.so.1: two GPUs whose reports echo the nonce. Declared as in NVIDIA's nvml.h. */
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, UNKNOWN = 999 };
enum { GPUS = 2, REPORT_SIZE = 4049 };

typedef struct {
  unsigned int isCecAttestationReportPresent;
  unsigned int attestationReportSize;
  unsigned int cecAttestationReportSize;
  unsigned char nonce[0x20];
  unsigned char attestationReport[0x2000];
  unsigned char cecAttestationReport[0x1000];
} Report;

typedef struct {
  unsigned int certChainSize;
  unsigned int attestationCertChainSize;
  unsigned char certChain[0x1000];
  unsigned char attestationCertChain[0x1400];
} Certificate;

typedef struct {
  unsigned int version, environment, ccFeature, devToolsMode, multiGpuMode;
} Settings;

/* sizes that this program's own layouts must have */
_Static_assert(sizeof(Report) == 12332, "report");
_Static_assert(sizeof(Certificate) == 9224, "certificate");
_Static_assert(sizeof(Settings) == 20, "settings");

struct device {
  int index;
  int calls;
};

static struct device devices[GPUS] = {{0, 0}, {1, 0}};
static int initialised, ready;

int nvmlInit_v2(void) {
  initialised = 1;
  return SUCCESS;
}

int nvmlSystemGetDriverVersion(char *version, unsigned int length) {
  strncpy(version, "550.90.07", length);
  return SUCCESS;
}

int nvmlSystemGetConfComputeSettings(Settings *settings) {
  if (settings->version != (sizeof(Settings) | (1u << 24))) return 25;
  settings->environment = 2;
  settings->ccFeature = 1;
  settings->devToolsMode = 0;
  settings->multiGpuMode = 0;
  return SUCCESS;
}

int nvmlSystemGetConfComputeGpusReadyState(unsigned int *state) {
  *state = ready;
  return SUCCESS;
}

int nvmlSystemSetConfComputeGpusReadyState(unsigned int state) {
  ready = state;
  return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned int *count) {
  if (!initialised) return 1;
  *count = GPUS;
  return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, struct device **device) {
  if (index >= GPUS) return INVALID_ARGUMENT;
  *device = &devices[index];
  return SUCCESS;
}

int nvmlDeviceGetUUID(struct device *device, char *uuid, unsigned int length) {
  strncpy(uuid, device->index == 0 ? "GPU-first" : "GPU-second", length);
  return SUCCESS;
}

int nvmlDeviceGetArchitecture(struct device *device, unsigned int *architecture) {
  *architecture = device->index == 0 ? 9 : 10;
  return SUCCESS;
}

int nvmlDeviceGetVbiosVersion(struct device *device, char *version, unsigned int length) {
  (void)device;
  strncpy(version, "96.00.9F.00.01", length);
  return SUCCESS;
}

int nvmlDeviceGetConfComputeGpuCertificate(struct device *device, Certificate *certificate) {
  const char *chain = "-----BEGIN CERTIFICATE-----\nMAMC\n-----END CERTIFICATE-----\n";
  (void)device;
  certificate->attestationCertChainSize = strlen(chain);
  memcpy(certificate->attestationCertChain, chain, strlen(chain));
  return SUCCESS;
}

/* Takes its time, and fails when two calls meet in one GPU. */
int nvmlDeviceGetConfComputeGpuAttestationReport(struct device *device, Report *report) {
  int alone = __atomic_add_fetch(&device->calls, 1, __ATOMIC_SEQ_CST) == 1;
  usleep(5000);
  report->attestationReportSize = REPORT_SIZE;
  memset(report->attestationReport, 0xa0 + device->index, REPORT_SIZE);
  memcpy(report->attestationReport + 4, report->nonce, sizeof(report->nonce));
  __atomic_sub_fetch(&device->calls, 1, __ATOMIC_SEQ_CST);
  return alone ? SUCCESS : UNKNOWN;
}
