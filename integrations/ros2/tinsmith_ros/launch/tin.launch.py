"""ros2 launch tinsmith_ros tin.launch.py file:=robot.tin key:=RW… tools:=tools.json

Its arguments are parameters of the node; params:=FILE.yaml gives any others.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = {
    "file": (str, None),
    "key": (str, ""),
    "adapter": (str, ""),
    "tools": (str, ""),
    "system": (str, ""),
    "threads": (int, "1"),
    "budget": (int, "0"),
    "autostart": (bool, "true"),
}


def generate_launch_description() -> LaunchDescription:
    plain = PathJoinSubstitution([FindPackageShare("tinsmith_ros"), "launch", "defaults.yaml"])
    given = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, (kind, _) in ARGUMENTS.items()
    }
    return LaunchDescription(
        [
            *(DeclareLaunchArgument(name, default_value=value) for name, (_, value) in ARGUMENTS.items()),
            DeclareLaunchArgument("params", default_value=plain),
            LifecycleNode(
                package="tinsmith_ros",
                executable="tin",
                name="tin",
                namespace="",
                parameters=[LaunchConfiguration("params"), given],
                output="screen",
            ),
        ]
    )
