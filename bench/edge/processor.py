"""Which of the processor's vector instructions matter here."""

from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
OF_INTEREST = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "asimd", "asimddp", "i8mm")


def vector_flags(cpuinfo: Path = CPUINFO) -> list[str]:
    """Those of ``OF_INTEREST`` that the first processor has; without the last but one, 8 bits gain little.

    Args:
        cpuinfo: Linux's list; elsewhere the answer is empty.
    """
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return []
    flags = next(
        (line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), []
    )
    return [flag for flag in OF_INTEREST if flag in flags]
