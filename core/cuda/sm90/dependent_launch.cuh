/* Launches that start while the launch before them in the stream ends: CUDA Programming Guide,
 * "Programmatic Dependent Launch". */
#pragma once

#include "core/cuda/cuda_common.cuh"

#include <utility>

/* Lets the next launch start where multiprocessors are free, if it is a dependent one. */
__device__ __forceinline__ void launch_next() { asm volatile("griddepcontrol.launch_dependents;"); }

/* Waits until the launch before has ended and its writes are visible. */
__device__ __forceinline__ void wait_for_last() {
    asm volatile("griddepcontrol.wait;" ::: "memory");
}

/* Launches a kernel that calls wait_for_last before it touches what earlier launches write or read.
 * `name`: for the error. */
template <typename... Parameters, typename... Arguments>
Status launch_dependent(const char *name, void (*kernel)(Parameters...), dim3 grid, dim3 threads,
                        size_t shared, cudaStream_t stream, Arguments &&...arguments) {
    cudaLaunchAttribute early = {};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t launch = {};
    launch.gridDim = grid, launch.blockDim = threads, launch.dynamicSmemBytes = shared;
    launch.stream = stream, launch.attrs = &early, launch.numAttrs = 1;
    (void)cudaLaunchKernelEx(&launch, kernel, std::forward<Arguments>(arguments)...);
    return cuda_launched(name);
}
