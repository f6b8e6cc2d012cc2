"""Names of weight formats, as recipes, targets and flags write them; importing this loads nothing else."""

# The presets of tinsmith.quant, and llama.cpp's number for each: `general.file_type` in GGUF. IQ3_NL is ours;
# its number is that of the format that GGUF holds its weights in.
FILE_TYPES = {
    "F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7, "Q6_K": 18, "Q5_K_M": 17, "Q5_K_S": 16, "Q5_1": 9, "Q5_0": 8,
    "Q4_K_M": 15, "Q4_K_S": 14, "Q4_1": 3, "Q4_0": 2, "IQ4_NL": 25, "Q3_K_L": 13, "Q3_K_M": 12, "Q3_K_S": 11,
    "IQ3_NL": 2, "Q2_K": 10,
    "IQ4_XS": 30, "IQ3_M": 27, "IQ3_S": 26, "IQ3_XXS": 23, "IQ2_M": 29, "IQ2_S": 28, "IQ2_XS": 20,
    "IQ2_XXS": 19, "TQ2_0": 37, "TQ1_0": 36,
}  # fmt: skip
FORMATS = tuple(FILE_TYPES)
AUTO = "AUTO"  # chosen tensor by tensor, within a budget
DEFAULTS = ("F16", "Q8_0", "Q4_0")  # of a build that states none


def file_type(format: str) -> int:
    """Of a file whose weights mostly have one format of `formats.weights`: for some, of the medium mix."""
    if format == "IQ2_S":
        return FILE_TYPES["IQ2_M"]  # files of the type IQ2_S are mostly IQ2_XS
    return FILE_TYPES[format if format in FILE_TYPES else f"{format}_M"]
