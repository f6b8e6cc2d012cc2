"""Names of weight formats, as recipes, targets and flags write them; importing this loads nothing else."""

# The presets of tinsmith.quant.
FORMATS = (
    "F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_1",
    "Q4_0", "IQ4_NL", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K",
)  # fmt: skip
AUTO = "AUTO"  # chosen tensor by tensor, within a budget
DEFAULTS = ("F16", "Q8_0", "Q4_0")  # of a build that states none
