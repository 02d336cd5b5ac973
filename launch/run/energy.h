/* The energy that this process's device has used, in joules.
 *
 * GPU: NVML's counter of the board since the driver was loaded
 * (nvmlDeviceGetTotalEnergyConsumption, Volta and newer, not a MIG slice), from libnvidia-ml.so.1,
 * which is opened at run time. CPU: RAPL's counters of all packages and their memory, in
 * /sys/class/powercap or in $HOURGLASS_POWERCAP; usually only root may read them. Both count other
 * programs' use, too. Not collective. */
#pragma once

#include "core/device.h"

typedef struct EnergyMeter EnergyMeter;

/* *out = NULL, without a message, if the device's energy cannot be measured. Errors:
 * STATUS_OUT_OF_MEMORY. */
NODISCARD Status energy_open(const Device *device, EnergyMeter **out);
void energy_close(EnergyMeter **meter);

/* Joules since energy_open; NaN for NULL, and once a counter could not be read. RAPL's counters
 * wrap after some 20 minutes at full power: read at least every ENERGY_POLL_SECONDS. */
enum { ENERGY_POLL_SECONDS = 60 };
double energy_read(EnergyMeter *meter);
