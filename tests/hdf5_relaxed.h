/* File access for tests that write what hostile files hold: HDF5 1.14.4 and later write unusual
 * types only where they are told to. */
#pragma once

#include <hdf5.h>
#include <stdbool.h>

/* A property list, for H5Pclose. */
static inline hid_t hdf5_relaxed(void) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
#ifdef H5F_RFIC_ALL
    H5Pset_relax_file_integrity_checks(access, H5F_RFIC_ALL);
#endif
    return access;
}

/* Creates an attribute of any type. HDF5 1.14 cannot write values of some types; they stay zero.
 * False if there is no attribute then. */
static inline bool hdf5_attribute_write(hid_t place, const char *name, hid_t type, hid_t space,
                                        const void *value) {
    hid_t attribute = H5Acreate2(place, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    H5E_BEGIN_TRY { H5Awrite(attribute, type, value); }
    H5E_END_TRY;
    return attribute >= 0 && H5Aclose(attribute) >= 0;
}
