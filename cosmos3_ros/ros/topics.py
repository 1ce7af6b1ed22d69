# SPDX-License-Identifier: Apache-2.0
"""Every topic and service of the node graph: type, quality of service, meaning, and its name.

Names that recordings need without ROS come from `robot.topic_names`.

Names are relative: a namespace or a remapping moves them. `docs/graph.md` is written from these
tables.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from action_msgs.srv import CancelGoal
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from nav_msgs.msg import Odometry, Path
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import Bool, Float64MultiArray, String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from ..action import ExecuteTask, GenerateVideo
from ..msg import ActionChunk, CommanderStatus, Future, Scene, Surprise, TaskGoal, TaskStatus
from ..robot import topic_names
from ..srv import Ask, Imagine, InferActions, ResetTask


def _qos(depth: int, best_effort: bool = False, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


NEWEST = _qos(1, best_effort=True)  # sensors: matches any publisher, keeps only what is new
# of several publishers: a quick one must not push the messages of a slow one out of the queue
MERGED = _qos(4, best_effort=True)
NEWEST_RELIABLE = _qos(1)  # lost pieces are sent again; matches reliable publishers only
RELIABLE = _qos(5)
LATCHED = _qos(1, latched=True)
# A stop is heard from everybody: sent once by best effort, sent again when lost, said before.
STOP_QOS = (_qos(10, best_effort=True), _qos(10), _qos(10, latched=True))
IMAGE_RELIABILITY = (
    "best_effort: any camera is heard, what is lost on the way is lost; reliable: it is sent "
    "again, and a camera that offers best effort only is not heard"
)
RELIABILITIES = {"best_effort": NEWEST, "reliable": NEWEST_RELIABLE}


@dataclasses.dataclass(frozen=True, slots=True)
class Topic:
    """One topic of the graph.

    instead: the parameter that replaces the default topic by it; continuous: silence is a fault.
    """

    name: str
    type: Any
    qos: QoSProfile
    doc: str
    instead: str = ""
    continuous: bool = False

    def if_set(self, parameter: str) -> Topic:
        """The same, for a node that has it only with this parameter."""
        return dataclasses.replace(self, instead=parameter)

    def of(self, group: str) -> Topic:
        """The same of a group of joints that has controllers of its own; "": the only one."""
        return self.named(f"{group}/{self.name}") if group else self

    def named(self, name: str) -> Topic:
        """The same by another name."""
        return dataclasses.replace(self, name=name)


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """One service of the graph, or an action.

    needs: the parameter without which it is not offered.
    """

    name: str
    type: Any
    doc: str
    needs: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Interface:
    """What one node subscribes to, publishes and offers.

    watched: what it subscribes to only while somebody looks at it.
    """

    subscribes: tuple[Topic, ...]
    publishes: tuple[Topic, ...]
    offers: tuple[Service, ...] = ()
    watched: tuple[Topic, ...] = ()


def camera(view: str, transport: str, reliability: str = "best_effort") -> Topic:
    """The image topic of one view.

    transport is "raw" or "compressed", reliability a key of RELIABILITIES.
    """
    name, qos = topic_names.camera(view, transport), RELIABILITIES[reliability]
    if transport == "compressed":
        return Topic(name, CompressedImage, qos, "camera image, JPEG or PNG", continuous=True)
    return Topic(name, Image, qos, "camera image, stamped at capture", continuous=True)


JOINT_STATES = Topic(
    topic_names.JOINT_STATES,
    JointState,
    MERGED,
    "measured joints of one or several publishers, any order, extra joints ignored",
    continuous=True,
)
INSTRUCTION = Topic(
    topic_names.INSTRUCTION,
    String,
    RELIABLE,
    "what to do from now on, a new episode; replaces the parameter `instruction`. The same again "
    "before its first chunk changes nothing",
)
ACTION_CHUNK = Topic(
    topic_names.ACTION_CHUNK, ActionChunk, RELIABLE, "the next actions, as a function of time"
)
FUTURE = Topic(
    topic_names.FUTURE,
    Future,
    RELIABLE,
    "the video the policy expects; decoded only if somebody subscribes",
)
IMAGINED = Topic(
    "cosmos3/imagined",
    Future,
    RELIABLE,
    "every clip that somebody asked for, as it is answered: of candidates, and generated ones",
)
SURPRISE = Topic(
    topic_names.SURPRISE,
    Surprise,
    RELIABLE,
    "how far what the cameras show is from what the policy predicted, and where",
)
FUTURE_FRAME = Topic(
    f"{topic_names.FUTURE}/compressed",
    CompressedImage,
    RELIABLE,
    "the frame of the newest future that is due now, when it is due; decoded only if somebody "
    "subscribes",
)
PATH = Topic(
    topic_names.PATH,
    Path,
    RELIABLE,
    "where the newest chunk leads the tool, seen from base_frame: a pose for each row, stamped "
    "with when it is due; computed only if somebody subscribes",
)
VEHICLE_PATH = Topic(
    "cosmos3/trajectory",
    Path,
    RELIABLE,
    "where a vehicle is to be: poses seen from vehicle_frame as it was at the stamp of the path, "
    "each stamped with when it is due",
)
CHUNK_END = Topic(
    "cosmos3/chunk_end",
    JointState,
    RELIABLE,
    "where the newest chunk ends, as joint_states: for a second robot model",
)
SCENE = Topic(topic_names.SCENE, Scene, RELIABLE, "what the reasoner sees, at a bounded rate")
COMMAND = Topic(
    topic_names.COMMAND,
    JointState,
    RELIABLE,
    "set points of this moment; published in a dry run too",
)
COMMANDER_STATUS = Topic(
    topic_names.COMMANDER_STATUS,
    CommanderStatus,
    LATCHED,
    "mode, reason, counts; 5 Hz and on change",
)
TASK_GOAL = Topic(
    "cosmos3/task_goal",
    TaskGoal,
    RELIABLE,
    "that a task is being done, 10 Hz: the commander holds at its end, and when it falls silent",
)
STOP = Topic(
    "cosmos3/stop",
    Bool,
    RELIABLE,
    "true: decelerate, hold, disarm and refuse to be armed; false: may be armed; "
    "heard from publishers of any QoS, latched ones too",
)
DIAGNOSTICS = Topic(
    "/diagnostics", DiagnosticArray, RELIABLE, "1 Hz: rates, ages, latencies, refusals"
)
TRAJECTORY = Topic(
    topic_names.TRAJECTORY, JointTrajectory, RELIABLE, "to the joint trajectory controller"
)
GRIPPER = Topic(topic_names.GRIPPER, Float64MultiArray, RELIABLE, "position of the gripper's joint")

IMAGES = camera("<view>", "raw")
COMPRESSED_IMAGES = camera("<view>", "compressed")
# A robot's own topics, as the embedded simulation has them.
SIM_CAMERA_INFO = Topic(
    "camera/<view>/camera_info", CameraInfo, RELIABLE, "intrinsics, stamped with the image"
)
SIM_STATUS = Topic(
    topic_names.SIM_STATUS,
    TaskStatus,
    RELIABLE,
    "task, seed, instruction, success, real-time factor; 5 Hz",
)
POSITIONS = Topic(topic_names.POSITIONS, Float64MultiArray, RELIABLE, "a stream of arm positions")
JOINT_COMMAND = Topic(
    topic_names.JOINT_COMMAND,
    JointState,
    RELIABLE,
    "positions by joint name, as Isaac Sim takes them",
)
TOOL_POSE = Topic(
    "cartesian_controller/target_frame",
    PoseStamped,
    RELIABLE,
    "poses of the tool, seen from base_frame, for a controller of Cartesian space",
)
TOOL_TWIST = Topic(
    "servo_node/delta_twist_cmds",
    TwistStamped,
    RELIABLE,
    "velocities of the tool along the axes of base_frame, m/s and rad/s, as for MoveIt Servo",
)
BASE_TWIST_STAMPED = Topic(
    "mobile_base_controller/cmd_vel",
    TwistStamped,
    RELIABLE,
    "velocities of a mobile base; zero before silence",
)
BASE_TWIST = dataclasses.replace(BASE_TWIST_STAMPED, type=Twist)
ODOMETRY = Topic(
    topic_names.ODOMETRY,
    Odometry,
    MERGED,
    "measured velocities of a mobile base, in its twist",
    continuous=True,
)
ROBOT_DESCRIPTION = Topic(
    "/robot_description", String, LATCHED, "the URDF, where the robot file names none"
)
CLOCK = Topic("/clock", Clock, RELIABLE, "simulated time, if publish_clock")

SEEN = (IMAGES, COMPRESSED_IMAGES.if_set("image_transport: compressed"))
_SURPRISED = "surprise: report"
POLICY = Interface(
    (
        *SEEN,
        JOINT_STATES,
        ODOMETRY.if_set("mobile_base: base_x"),
        INSTRUCTION,
        COMMANDER_STATUS,
        COMMAND.if_set(_SURPRISED),
    ),
    (
        ACTION_CHUNK,
        VEHICLE_PATH.if_set("vehicle_frame: base_link"),
        FUTURE,
        IMAGINED,
        SURPRISE.if_set(_SURPRISED),
        DIAGNOSTICS,
    ),
    (
        Service("~/imagine", Imagine, "what would be seen if these joint positions were played"),
        Service(
            "~/infer_actions",
            InferActions,
            "which commands lead through what was just seen",
            "recent_seconds: 1.0",
        ),
        Service(
            "~/generate_video",
            GenerateVideo,
            "an action: a video of a sentence that begins with what is seen",
            "generate_frames: 17",
        ),
    ),
)
REASONER = Interface(
    SEEN, (SCENE,), (Service("~/ask", Ask, "a question about what the cameras see now"),)
)
ASK = Service("reasoner/ask", Ask, "the reasoner's, from outside")
IMAGINE = Service("policy/imagine", Imagine, "the policy's, from outside")
INFER_ACTIONS = Service("policy/infer_actions", InferActions, "the policy's, from outside")
GENERATE_VIDEO = Service("policy/generate_video", GenerateVideo, "the policy's, from outside")
EXECUTE_TASK = Service(
    "cosmos3/execute_task", ExecuteTask, "an action: do what is said until it is judged to be done"
)
TASK_FEEDBACK = Topic(
    "cosmos3/execute_task/_action/feedback",
    ExecuteTask.Impl.FeedbackMessage,
    RELIABLE,
    "how a running task goes, as the caller of the action is told",
)
TASK_RESULT = Service(
    "cosmos3/execute_task/_action/get_result",
    ExecuteTask.Impl.GetResultService,
    "how a task ended, as the caller of the action is told; answered when it has",
)
CANCEL_TASK = Service(
    "cosmos3/execute_task/_action/cancel_goal",
    CancelGoal,
    "end the task that is being done; without a goal id: whichever it is",
)
TASK_SERVER = Interface(
    (COMMANDER_STATUS, ACTION_CHUNK, SCENE, SURPRISE, INSTRUCTION),
    (INSTRUCTION, TASK_GOAL),
    (EXECUTE_TASK,),
)
DISPLAY = Interface((ACTION_CHUNK, FUTURE), (PATH, CHUNK_END, FUTURE_FRAME))
SERVER = Interface((), ())  # its clients come by websocket
COMMANDER = Interface(
    (ACTION_CHUNK, JOINT_STATES, STOP, TASK_GOAL, SURPRISE),
    (
        TRAJECTORY,
        POSITIONS.if_set("sink: position_stream"),
        JOINT_COMMAND.if_set("sink: joint_command"),
        TOOL_POSE.if_set("sink: tool_pose"),
        TOOL_TWIST.if_set("sink: tool_twist"),
        BASE_TWIST_STAMPED.if_set("mobile_base_output: twist_stamped"),
        BASE_TWIST.if_set("mobile_base_output: twist"),
        GRIPPER,
        COMMAND,
        COMMANDER_STATUS,
        DIAGNOSTICS,
    ),
    (
        Service(
            "~/arm",
            SetBool,
            "true: let commands out to the controllers; false: hold and go back to the dry run",
        ),
        Service("~/stop", Trigger, "decelerate, hold, and disarm"),
    ),
)
ARM = Service("commander/arm", SetBool, "the commander's, from outside")
STOP_ARM = Service("commander/stop", Trigger, "the commander's, from outside")
RESET_TASK = Service("sim/reset_task", ResetTask, "begin an episode of a task with a seed")
SIM = Interface(
    (TRAJECTORY, POSITIONS, GRIPPER, JOINT_COMMAND),
    (JOINT_STATES, IMAGES, COMPRESSED_IMAGES, SIM_CAMERA_INFO, SIM_STATUS, CLOCK),
    (RESET_TASK,),
)
CONSOLE = Interface(
    (
        COMMANDER_STATUS,
        ACTION_CHUNK,
        SCENE,
        INSTRUCTION,
        DIAGNOSTICS,
        SIM_STATUS,
        TASK_GOAL,
        TASK_FEEDBACK,
        SURPRISE,
        ROBOT_DESCRIPTION.if_set("robot: generic_6axis"),
    ),
    (INSTRUCTION,),
    watched=(*SEEN, JOINT_STATES, COMMAND, FUTURE),
)
