from spack.package import *


class Hourglass(Package):
    """A trainer of GPTs in C and CUDA, which plans the memory of a training step before it runs."""

    license("Apache-2.0")

    version("0.1.0")  # for spack dev-build in the root of the sources

    variant("cuda", default=False, description="Build the kernels for NVIDIA GPUs")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("scons", type="build")
    depends_on("python@3.9:", type="build")
    depends_on("mpi")
    depends_on("hdf5@1.10:~mpi")
    depends_on("libyaml")
    depends_on("jansson")
    depends_on("pcre2")
    depends_on("openblas threads=openmp")
    depends_on("onednn@2.6: cpu_runtime=omp", when="target=x86_64:")
    depends_on("xxhash")
    depends_on("zlib-api")
    depends_on("zstd")
    depends_on("utf8proc")
    depends_on("cuda@12:", when="+cuda")
    depends_on("nccl", when="+cuda")

    conflicts("%gcc@:11", msg="_Float16 needs gcc 12")

    def setup_build_environment(self, env):
        for name in ("hdf5", "libyaml", "jansson", "pcre2", "openblas", "onednn", "xxhash",
                     "zlib-api", "zstd", "utf8proc"):
            if name not in self.spec:
                continue  # onednn, which is for x86
            env.prepend_path("CPATH", self.spec[name].prefix.include)
            for folder in (self.spec[name].prefix.lib, self.spec[name].prefix.lib64):
                env.prepend_path("LIBRARY_PATH", folder)

    def install(self, spec, prefix):
        cuda = "yes" if spec.satisfies("+cuda") else "no"
        scons = which("scons", required=True)
        scons("-s", "install", "build=build-spack", "PREFIX=" + prefix, "cuda=" + cuda,
              "cc=" + spack_cc)
