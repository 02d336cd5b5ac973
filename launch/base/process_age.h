#pragma once

/* Seconds since this process was started, loading its libraries included, to a hundredth; 0 where
 * the system does not say. */
double process_age(void);
