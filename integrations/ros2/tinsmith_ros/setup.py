"""ament_python: `colcon build` reads this."""

from pathlib import Path

from setuptools import setup

NAME = "tinsmith_ros"

setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", [str(path) for path in Path("launch").iterdir()]),
    ],
    install_requires=["setuptools"],  # and tinsmith, which pip installs beside ROS
    entry_points={"console_scripts": [f"tin = {NAME}.node:main"]},
    description="A lifecycle node that holds a tiny language model",
    license="Apache-2.0",
)
